//! A Docker daemon for one scenario, which can be killed with everything that it runs.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::wait_until_blocking;

/// Images that builds and apps need; copied from the machine's daemon.
const STACK_IMAGES: [&str; 2] = ["deis/stack:trixie", "deis/stack:trixie-build"];

pub struct Daemon {
    folder: TempDir,
    process: Option<Child>,
}

/// The `docker` client for this daemon, or for the machine's.
pub(crate) fn docker(socket: Option<&Path>) -> Command {
    let mut docker = Command::new("docker");
    if let Some(socket) = socket {
        docker.arg("--host").arg(format!("unix://{}", socket.display()));
    }
    docker
}

impl Daemon {
    /// Starts a daemon that has the images of the stack and changes nothing of the machine's daemon.
    pub fn start() -> Self {
        let folder =
            tempfile::Builder::new().prefix("workflow-dockerd-").tempdir().expect("a temporary folder");
        let mut daemon = Self { folder, process: None };
        ip(&["link", "add", &bridge(), "type", "bridge"]);
        daemon.launch();
        daemon.wait_until_it_answers();
        daemon.copy_stack_images();
        daemon
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("docker.sock")
    }

    /// Starts the process without waiting for it.
    pub fn launch(&mut self) {
        let folder = self.folder.path();
        let log = File::options().create(true).append(true).open(folder.join("log")).expect("a log file");
        let process = Command::new("dockerd")
            .arg(format!("--host=unix://{}", self.socket().display()))
            .arg(format!("--data-root={}", folder.join("data").display()))
            .arg(format!("--exec-root={}", folder.join("run").display()))
            .arg(format!("--pidfile={}", folder.join("pid").display()))
            // Containers are reached over their bridges; the machine's firewall is not changed. With `none` for a
            // bridge the daemon would remove that of the machine's daemon.
            .args(["--iptables=false", "--ip-masq=false", &format!("--bridge={}", bridge())])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("dockerd starts: scenarios run as root");
        self.process = Some(process);
    }

    fn wait_until_it_answers(&self) {
        wait_until_blocking("the Docker daemon answers", Duration::from_secs(60), || {
            let output = docker(Some(&self.socket())).arg("version").output().expect("docker runs");
            output.status.success().then_some(())
        });
    }

    fn copy_stack_images(&self) {
        let mut save = Command::new("docker")
            .arg("save")
            .args(STACK_IMAGES)
            .stdout(Stdio::piped())
            .spawn()
            .expect("docker runs");
        let archive = save.stdout.take().expect("it was piped");
        let load = docker(Some(&self.socket()))
            .args(["load", "--quiet"])
            .stdin(archive)
            .output()
            .expect("docker runs");
        assert!(save.wait().expect("our child").success(), "make the stack image first: cargo xtask stack");
        assert!(load.status.success(), "{load:?}");
    }

    /// Kills the daemon and every process of its containers, as a power cut would.
    pub fn kill_with_all_containers(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("it is our child");
            process.wait().expect("it is our child");
        }
        // Containers' processes are children of shims, whose command lines name this folder.
        let shims = self.processes();
        let children = shims.iter().flat_map(|shim| descendants(*shim));
        let doomed: Vec<String> = children.chain(shims.iter().copied()).map(|pid| pid.to_string()).collect();
        let _ = Command::new("kill").arg("-KILL").args(&doomed).output();
        wait_until_blocking("the containers are dead", Duration::from_secs(20), || {
            self.processes().is_empty().then_some(())
        });
        self.unmount_all();
        // Runtime files are in memory on real machines: a reboot clears them.
        let run = self.folder.path().join("run");
        if let Err(error) = std::fs::remove_dir_all(&run) {
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "cannot clear {}: {error}", run.display());
        }
        let _ = std::fs::remove_file(self.folder.path().join("pid"));
    }

    /// Dead containers leave mounts behind, which a reboot would not.
    fn unmount_all(&self) {
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let folder = self.folder.path().display().to_string();
        let mounted = mounts.lines().filter_map(|line| line.split(' ').nth(1));
        for mount in mounted.filter(|path| path.starts_with(&folder)) {
            let _ = Command::new("umount").args(["--lazy", mount]).output();
        }
    }

    /// The daemon's containerd and shims.
    fn processes(&self) -> Vec<u32> {
        let folder = self.folder.path().display().to_string();
        let output = Command::new("pgrep").args(["--full", "--", &folder]).output().expect("pgrep runs");
        let lines = String::from_utf8_lossy(&output.stdout).into_owned();
        lines.lines().filter_map(|pid| pid.parse().ok()).filter(|pid| *pid != std::process::id()).collect()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill_with_all_containers();
        ip(&["link", "delete", &bridge()]);
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            let told: Vec<&str> =
                log.lines().filter(|line| !line.contains("level=info msg=\"[core]")).collect();
            eprintln!("---- the daemon's log\n{}", told[told.len().saturating_sub(40)..].join("\n"));
        }
    }
}

/// Name of the daemon's default bridge, which no container uses. A process has one daemon.
fn bridge() -> String {
    format!("wf-{}", std::process::id())
}

/// A failure shows in the daemon's log: it does not start without its bridge.
fn ip(arguments: &[&str]) {
    let _ = Command::new("ip").args(arguments).output();
}

fn descendants(pid: u32) -> Vec<u32> {
    let output = Command::new("pgrep").args(["--parent", &pid.to_string()]).output().expect("pgrep runs");
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    let children: Vec<u32> = lines.lines().filter_map(|pid| pid.parse().ok()).collect();
    children.iter().flat_map(|child| descendants(*child)).chain(children.iter().copied()).collect()
}
