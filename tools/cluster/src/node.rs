//! A node: containerd, kubelet, kube-proxy and kube-router's firewall for NetworkPolicies, with its own network and
//! folders.

mod config;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use chores::progress;

use crate::layout::{self, NAMESERVER, Node, SERVICES};
use crate::namespaces::Namespace;
use crate::process::Process;
use crate::programs::Programs;

const CONTAINERD_MAX: Duration = Duration::from_secs(30);

const CONTAINERD_ANSWER_MAX: &str = "5s";

/// Folders that a node has for itself, and their names in the node's folder of state. So mounts of a host's
/// path act as on a machine of its own, and two kubelets do not remove each other's logs.
const FOLDERS: &[(&str, &str)] = &[
    ("/var/lib/kubelet", "kubelet"),
    ("/var/lib/containerd", "containerd"),
    ("/var/lib/cni", "cni-state"),
    ("/var/log", "log"),
    ("/run/containerd", "run"),
    ("/run/netns", "netns"),
];

/// Mounts the node's own folders at the usual paths.
pub fn mount_folders(node: Node, inside: &Namespace) -> anyhow::Result<()> {
    for (path, name) in FOLDERS {
        let own = node.folder().join(name);
        std::fs::create_dir_all(&own).with_context(|| format!("cannot make {}", own.display()))?;
        make_mount_point(path)?;
        progress::output(inside.command("mount").arg("--bind").arg(&own).arg(path))?;
    }
    // Pods share mounts with their node, and the node with nothing else.
    progress::output(inside.command("mount").args(["--make-rshared", "/"])).map(drop)
}

/// The machine may lack the folder; one that is made here is recorded, and removed again by
/// [`forget_mount_points`].
fn make_mount_point(path: &str) -> anyhow::Result<()> {
    if Path::new(path).is_dir() {
        return Ok(());
    }
    let made = format!("{}{path}\n", std::fs::read_to_string(mount_points()).unwrap_or_default());
    std::fs::write(mount_points(), made)?;
    std::fs::create_dir(path).with_context(|| format!("cannot make {path}"))
}

/// Removes the mount points that were made, unless something else uses them now.
pub fn forget_mount_points() {
    for path in std::fs::read_to_string(mount_points()).unwrap_or_default().lines() {
        if std::fs::remove_dir(path).is_err() {
            println!("    {path} is in use by others and stays");
        }
    }
}

fn mount_points() -> PathBuf {
    layout::state().join("mount-points")
}

/// Starts the container runtime.
pub fn start_containerd(node: Node, inside: &Namespace, group: &str) -> anyhow::Result<()> {
    let network = node.folder().join("network");
    std::fs::create_dir_all(&network)?;
    std::fs::write(network.join("10-bridge.conflist"), config::network(node).to_string())?;
    let file = node.folder().join("containerd.toml");
    std::fs::write(&file, config::containerd(&network))?;
    let command = &mut inside.command("containerd");
    let process =
        Process::start(&format!("containerd-{}", node.0), group, command.arg("--config").arg(file))?;
    process.wait_until(CONTAINERD_MAX, || {
        progress::succeeds(ctr(node).args(["--timeout", CONTAINERD_ANSWER_MAX, "version"]))
    })
}

/// A command of containerd's client, outside of the node: it reads files at the machine's paths.
pub fn ctr(node: Node) -> Command {
    let mut command = Command::new("ctr");
    command.arg("--address").arg(node.folder().join("run/containerd.sock")).args(["--namespace", "k8s.io"]);
    command
}

/// Starts kubelet and kube-proxy; the node is ready some seconds later.
pub fn start_kubernetes(
    node: Node,
    programs: &Programs,
    inside: &Namespace,
    group: &str,
) -> anyhow::Result<()> {
    let resolver = node.folder().join("resolv.conf");
    std::fs::write(&resolver, format!("nameserver {NAMESERVER}\n"))?;
    let kubelet = node.folder().join("kubelet.json");
    std::fs::write(&kubelet, config::kubelet(node, &resolver)?.to_string())?;
    let mut command = inside.command(programs.path("kubelet"));
    command.arg("--config").arg(kubelet).arg("--kubeconfig").arg(layout::kubeconfig(&node.name()));
    command.arg("--hostname-override").arg(node.name()).arg("--node-ip").arg(node.address());
    Process::start(&format!("kubelet-{}", node.0), group, &command)?;

    let proxy = node.folder().join("kube-proxy.json");
    std::fs::write(&proxy, config::kube_proxy(node).to_string())?;
    let mut command = inside.command(programs.path("kube-proxy"));
    command.arg("--config").arg(proxy);
    Process::start(&format!("kube-proxy-{}", node.0), group, &command).map(drop)
}

/// Starts the firewall for NetworkPolicies, the only used part of kube-router. It reads its node from the API and
/// exits without one, so the kubelet comes first.
pub fn start_firewall(
    node: Node,
    programs: &Programs,
    inside: &Namespace,
    group: &str,
) -> anyhow::Result<()> {
    let mut command = inside.command(programs.path("kube-router"));
    command.args(["--run-firewall=true", "--run-router=false", "--run-service-proxy=false"]);
    command.arg(format!("--service-cluster-ip-range={SERVICES}"));
    command.arg(format!("--hostname-override={}", node.name()));
    command.arg("--kubeconfig").arg(layout::kubeconfig("admin"));
    Process::start(&format!("kube-router-{}", node.0), group, &command).map(drop)
}
