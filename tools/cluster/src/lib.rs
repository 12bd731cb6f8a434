//! A real Kubernetes for tests, on a machine without a container registry: `cargo xtask cluster`.
//!
//! Its programs are built from pinned Go modules; containerd and other tools come from Debian.
//! Nodes are namespaces of this machine with a network of their own, and nothing of the machine's network or
//! firewall is touched. Where `KUBECONFIG` names a cluster, that one is used instead.

mod addons;
mod cgroups;
mod control_plane;
mod go;
pub mod images;
mod kubectl;
mod layout;
mod namespaces;
mod network;
mod node;
mod own;
mod pins;
mod pki;
mod process;
mod programs;
mod start;
mod status;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{bail, ensure};
use chores::packages;

pub use layout::{DATABASE_ADDRESS, GATEWAY_ADDRESS, state as state_folder};
use namespaces::Namespace;
pub use pins::BUILDKIT;
pub use programs::Programs;
pub use status::Status;

/// The cluster that chores and tests use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cluster {
    /// The cluster that chores start; reached from inside its network only.
    Own,
    /// A cluster that this value of `KUBECONFIG` names; used as it is.
    Given(OsString),
}

impl Cluster {
    /// The cluster that `KUBECONFIG` names, else our own.
    pub fn chosen() -> Self {
        Self::named(std::env::var_os("KUBECONFIG"))
    }

    /// Inside [`Cluster::command`] the variable names our own cluster.
    fn named(kubeconfig: Option<OsString>) -> Self {
        let foreign = |it: &OsString| !it.is_empty() && Path::new(it) != layout::admin_kubeconfig();
        kubeconfig.filter(foreign).map_or(Self::Own, Self::Given)
    }

    /// Returns true if this user can start the cluster: our own needs root.
    pub fn may_be_used(&self) -> bool {
        matches!(self, Self::Given(_)) || nix::unistd::geteuid().is_root()
    }

    /// Returns true if the cluster runs; a given one counts as running.
    pub fn is_up(&self) -> bool {
        matches!(self, Self::Given(_)) || own::is_up()
    }

    /// Starts our own cluster unless it runs; fails where a given one does not respond.
    pub fn up(&self, nodes: Option<u8>) -> anyhow::Result<()> {
        let Self::Given(kubeconfig) = self else { return own::up(nodes) };
        ensure!(nodes.is_none(), "--nodes is for our own cluster, and KUBECONFIG names another one");
        let kubeconfig = kubeconfig.display();
        ensure!(
            kubectl::api_is_ready(&mut self.command("kubectl")?),
            "no cluster answers at KUBECONFIG={kubeconfig}"
        );
        println!("The cluster at KUBECONFIG={kubeconfig} answers.");
        Ok(())
    }

    /// Removes our own cluster; fails for a given one.
    pub fn down(&self) -> anyhow::Result<()> {
        match self {
            Self::Own => own::down(),
            Self::Given(kubeconfig) => bail!(
                "the cluster at KUBECONFIG={} is not ours to take down: unset KUBECONFIG for our own",
                kubeconfig.display()
            ),
        }
    }

    /// A command whose program reaches the cluster: with `KUBECONFIG`, with our kubectl and helm in `PATH`,
    /// and inside the network of our own cluster.
    pub fn command(&self, program: impl AsRef<OsStr>) -> anyhow::Result<Command> {
        match self {
            Self::Own => {
                own::nodes()?;
                let mut command = Namespace::gateway()?.command(program);
                command.env("KUBECONFIG", layout::admin_kubeconfig());
                command.env("WORKFLOW_TEST_NODE_LOGS", layout::node_logs());
                command.env("PATH", Programs::ensure()?.search_path()?);
                Ok(command)
            }
            Self::Given(kubeconfig) => {
                let mut command = Command::new(program);
                command.env("KUBECONFIG", kubeconfig);
                command.env("PATH", client_programs()?.search_path()?);
                Ok(command)
            }
        }
    }

    /// Loads an image on every node, from an archive of OCI's or Docker's kind.
    pub fn load_image(&self, archive: &Path) -> anyhow::Result<()> {
        ensure!(archive.is_file(), "there is no archive {}", archive.display());
        match self {
            Self::Own => own::load_image(&own::nodes()?, archive),
            Self::Given(kubeconfig) => bail!(
                "cannot load {} into the cluster at KUBECONFIG={}: its nodes are not ours; push the image to a \
                 registry that they reach",
                archive.display(),
                kubeconfig.display()
            ),
        }
    }

    /// State of the nodes, and of the processes of our own cluster.
    pub fn status(&self) -> anyhow::Result<Status> {
        let kubeconfig = match self {
            Self::Own => layout::admin_kubeconfig(),
            Self::Given(kubeconfig) => PathBuf::from(kubeconfig),
        };
        let components = if *self == Self::Own { status::components() } else { Vec::new() };
        let kubectl = self.command("kubectl");
        if components.is_empty() {
            // Other facts of a given cluster are unknown.
            let nodes = kubectl::nodes(&mut kubectl?)?;
            return Ok(Status { kubeconfig, own: false, nodes, components });
        }
        let nodes = kubectl.and_then(|mut kubectl| kubectl::nodes(&mut kubectl)).unwrap_or_default();
        Ok(Status { kubeconfig, own: true, nodes, components })
    }
}

/// kubectl and helm, which any cluster needs; builds those that the machine lacks.
fn client_programs() -> anyhow::Result<Programs> {
    Programs::ensure_only(|program| {
        ["kubectl", "helm"].contains(&program) && packages::find(program).is_none()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kubeconfig_of_others_is_used_instead_of_our_own_cluster() {
        let foreign = OsString::from("/home/someone/.kube/config");

        assert_eq!(Cluster::named(Some(foreign.clone())), Cluster::Given(foreign));
        assert_eq!(Cluster::named(None), Cluster::Own);
        assert_eq!(Cluster::named(Some(OsString::new())), Cluster::Own);
        assert_eq!(Cluster::named(Some(layout::admin_kubeconfig().into())), Cluster::Own);
    }

    #[test]
    fn an_image_cannot_be_loaded_into_a_cluster_of_others_and_the_error_says_why() {
        let cluster = Cluster::Given("/elsewhere".into());
        let archive = chores::paths::checkout().join("Cargo.toml");

        let error = cluster.load_image(&archive).expect_err("its nodes are not ours").to_string();

        assert!(error.contains("its nodes are not ours"), "{error}");
    }
}
