//! Paths of the cluster's files, and addresses of its parts.
//!
//! Addresses are seen only inside the cluster's own network namespaces: the machine's network may use the
//! same ones.

use std::path::PathBuf;

use chores::paths;

/// The network that joins the nodes; its first address is the gateway's.
pub const GATEWAY_ADDRESS: &str = "10.240.0.1";
/// Another address of the gateway, for a database of tests: apps may not reach it.
pub const DATABASE_ADDRESS: &str = "10.240.0.2";
pub const PODS: &str = "10.244.0.0/16";
pub const SERVICES: &str = "10.96.0.0/16";
/// The API server's own Service: the first address of [`SERVICES`].
pub const API_SERVICE: &str = "10.96.0.1";
/// Also in `addons/coredns.yaml`.
pub const CLUSTER_DNS: &str = "10.96.0.10";
pub const API_PORT: u16 = 6443;
/// The resolver of `slirp4netns`, which forwards to the machine's.
pub const NAMESERVER: &str = "10.0.2.3";
/// Most nodes: addresses have one digit for the node.
pub const NODES_MAX: u8 = 9;

/// Folder of everything that `down` removes.
pub fn state() -> PathBuf {
    paths::state().join("cluster")
}

/// `/var/log` of each node, by its name in place of `NODE`.
pub fn node_logs() -> PathBuf {
    state().join("NODE/log")
}

/// Certificates and keys.
pub fn pki() -> PathBuf {
    state().join("pki")
}

pub fn kubeconfig(user: &str) -> PathBuf {
    state().join("kubeconfigs").join(format!("{user}.json"))
}

/// The file that users and tests name in `KUBECONFIG`.
pub fn admin_kubeconfig() -> PathBuf {
    kubeconfig("admin")
}

/// Sockets and records of processes.
pub fn run() -> PathBuf {
    state().join("run")
}

pub fn log(component: &str) -> PathBuf {
    state().join("logs").join(format!("{component}.log"))
}

/// URL of the API server for clients.
pub fn api_url() -> String {
    format!("https://{}:{API_PORT}", Node(1).address())
}

/// A node, by its number; the first also has the control plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node(pub u8);

impl Node {
    /// The first `count` nodes.
    pub fn first(count: u8) -> impl Iterator<Item = Self> {
        (1..=count).map(Self)
    }

    pub fn name(self) -> String {
        format!("node-{}", self.0)
    }

    pub fn address(self) -> String {
        format!("10.240.0.1{}", self.0)
    }

    /// Addresses of its pods.
    pub fn pods(self) -> String {
        format!("10.244.{}.0/24", self.0)
    }

    pub fn folder(self) -> PathBuf {
        state().join(self.name())
    }
}
