//! Namespaces of the gateway and the nodes, each held open by a process that does nothing.
//!
//! They have no name in the machine's file system: they end with their processes. A node is a network
//! and a mount namespace, so that it has `/var/lib/kubelet`, `/var/log` and the like of its own at the usual
//! paths. Entered with `nsenter`, because `ip netns exec` hides the control groups behind a fresh `/sys`.

use std::ffi::OsStr;
use std::fs::File;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use nix::sched::{CloneFlags, setns};

use crate::layout::Node;
use crate::process::Process;

pub const GATEWAY: &str = "gateway";

const HOLDER: &str = "sleep";
const HOLDER_START_MAX: Duration = Duration::from_secs(10);
const CONNECT_MAX: Duration = Duration::from_secs(1);

/// A network namespace; a node's has a mount namespace with it.
#[derive(Debug, Clone)]
pub struct Namespace {
    pub holder: Process,
    has_mounts: bool,
}

impl Namespace {
    /// Makes the namespace of the gateway, where clients run, and which is the route to the outside.
    pub fn make_gateway(group: &str) -> anyhow::Result<Self> {
        Self::make(GATEWAY, group, false)
    }

    /// Makes the namespaces of a node.
    pub fn make_node(node: Node, group: &str) -> anyhow::Result<Self> {
        Self::make(&node.name(), group, true)
    }

    /// The namespace of the gateway, which exists already.
    pub fn gateway() -> anyhow::Result<Self> {
        Ok(Self { holder: Process::find(GATEWAY)?, has_mounts: false })
    }

    fn make(name: &str, group: &str, has_mounts: bool) -> anyhow::Result<Self> {
        let mut command = Command::new("unshare");
        command.arg("--net");
        if has_mounts {
            command.args(["--mount", "--propagation=private"]);
        }
        command.args([HOLDER, "infinity"]);
        let holder = Process::start(name, group, &command)?;
        let begun = || {
            std::fs::read_to_string(format!("/proc/{}/comm", holder.id)).is_ok_and(|it| it.trim() == HOLDER)
        };
        holder.wait_until(HOLDER_START_MAX, begun)?;
        Ok(Self { holder, has_mounts })
    }

    /// A command that runs a program inside.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.network().display()));
        if self.has_mounts {
            command.arg(format!("--mount=/proc/{}/ns/mnt", self.holder.id));
        }
        command.arg("--").arg(program);
        command
    }

    /// The file that represents the network namespace.
    pub fn network(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/ns/net", self.holder.id))
    }

    /// Returns true if a connection to this address succeeds from inside.
    pub fn listens(&self, address: &str) -> bool {
        let Ok(address) = address.parse::<SocketAddr>() else { return false };
        self.inside(move || TcpStream::connect_timeout(&address, CONNECT_MAX)).is_ok()
    }

    /// Changes a setting of the kernel for this network.
    pub fn set(&self, setting: &str, value: &'static str) -> anyhow::Result<()> {
        let path = PathBuf::from("/proc/sys/net").join(setting);
        let shown = path.display().to_string();
        self.inside(move || std::fs::write(path, value)).with_context(|| format!("cannot set {shown}"))
    }

    /// Runs work in this network, in a thread that ends afterwards: a namespace belongs to a thread, not to a process.
    fn inside<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
    ) -> anyhow::Result<T> {
        let network = File::open(self.network()).context("the namespace is gone")?;
        let thread = std::thread::spawn(move || {
            setns(network, CloneFlags::CLONE_NEWNET)?;
            work()
        });
        let done = thread.join().map_err(|_| anyhow!("a thread panicked inside the namespace"))?;
        Ok(done?)
    }
}
