//! A platform that a chore runs in the background: started, found again, stopped, removed.

mod http;

use std::fs::File;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};

pub use http::get;

use crate::binaries::Binaries;
use crate::{daemon, paths, progress};

/// Longest time from start to the first response of the API.
const START_LIMIT: Duration = Duration::from_secs(60);
/// Longest time from TERM to the end; the platform's own bound is 20 s.
const STOP_LIMIT: Duration = Duration::from_secs(40);

/// Port that `deis` writes into remotes.
const REMOTE_PORT: u16 = 2222;

/// A platform with a name: all its state is in one folder.
#[derive(Debug, Clone)]
pub struct Platform {
    folder: PathBuf,
    pub http_port: u16,
    pub ssh_port: u16,
}

impl Platform {
    pub fn named(name: &str, http_port: u16, ssh_port: u16) -> Self {
        Self { folder: paths::state().join(name), http_port, ssh_port }
    }

    /// Starts it unless it already runs from these very programs.
    pub fn ensure_running(&self, binaries: &Binaries) -> anyhow::Result<()> {
        let stamp = stamp(binaries)?;
        if self.pid().is_some() {
            if std::fs::read_to_string(self.path("programs")).is_ok_and(|running| running == stamp) {
                return self.wait_for_api(|| self.pid().is_some());
            }
            self.stop()?;
        }
        self.check_ports()?;
        progress::step("Start the platform", || {
            make_private_folder(&self.folder)?;
            let mut child = self.spawn(binaries)?;
            std::fs::write(self.path("pid"), child.id().to_string())?;
            std::fs::write(self.path("programs"), stamp)?;
            // Checked as our child: its entry in /proc is empty for a moment while `setsid` becomes the platform.
            self.wait_for_api(|| matches!(child.try_wait(), Ok(None)))
        })
    }

    fn spawn(&self, binaries: &Binaries) -> anyhow::Result<Child> {
        let log = File::options().create(true).append(true).open(self.log())?;
        Command::new("setsid")
            .arg(&binaries.workflow)
            .arg("up")
            .arg("--data-dir")
            .arg(self.path("data"))
            .args(["--http-listen", &format!("127.0.0.1:{}", self.http_port)])
            .args(["--https-listen", &format!("127.0.0.1:{}", self.https_port())])
            .args(["--ssh-listen", &format!("127.0.0.1:{}", self.ssh_port)])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot start workflow")
    }

    /// HTTPS port: 8443 for 8000.
    fn https_port(&self) -> u16 {
        self.http_port + 443
    }

    fn wait_for_api(&self, mut alive: impl FnMut() -> bool) -> anyhow::Result<()> {
        let answers =
            || get(self.http_port, "deis.localhost", "/healthz").is_ok_and(|answer| answer.status == 200);
        progress::wait_until(START_LIMIT, || answers() || !alive());
        if alive() && answers() {
            return Ok(());
        }
        let log = std::fs::read_to_string(self.log()).unwrap_or_default();
        let tail: Vec<_> = log.lines().rev().take(10).collect();
        let tail: Vec<_> = tail.into_iter().rev().collect();
        bail!(
            "the platform did not come up; its log {} ends with:\n{}",
            self.log().display(),
            tail.join("\n")
        )
    }

    fn check_ports(&self) -> anyhow::Result<()> {
        for port in [self.http_port, self.https_port(), self.ssh_port] {
            let free = std::net::TcpListener::bind(("127.0.0.1", port));
            free.with_context(|| {
                format!("port {port} is taken: stop what listens there (`ss -ltnp`) and try again")
            })?;
        }
        Ok(())
    }

    /// Stops it with TERM and waits; does nothing if it does not run.
    pub fn stop(&self) -> anyhow::Result<()> {
        let Some(pid) = self.pid() else { return Ok(()) };
        progress::step("Stop the platform", || {
            progress::succeeds(Command::new("kill").arg(pid.to_string()));
            ensure!(progress::wait_until(STOP_LIMIT, || self.pid().is_none()), "process {pid} does not stop");
            Ok(())
        })
    }

    /// Stops it and removes containers, networks, volumes, images and state: nothing is left.
    pub fn wipe(&self) -> anyhow::Result<()> {
        self.stop()?;
        if let Ok(instance) = std::fs::read_to_string(self.path("data/instance")) {
            progress::step("Remove the platform's containers, networks, volumes and images", || {
                daemon::remove_instance(instance.trim())
            })?;
        }
        match std::fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", self.folder.display()))
            }
            _ => Ok(()),
        }
    }

    /// Id of the process, if it runs this platform.
    pub fn pid(&self) -> Option<u32> {
        let pid: u32 = std::fs::read_to_string(self.path("pid")).ok()?.trim().parse().ok()?;
        let command = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
        command.contains("workflow\0up").then_some(pid)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub fn log(&self) -> PathBuf {
        self.path("platform.log")
    }

    /// Address of the API.
    pub fn url(&self) -> String {
        format!("http://deis.localhost:{}", self.http_port)
    }

    /// Variables with which `deis` and `git` use this platform and no other.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let mut ssh = format!(
            "ssh -i {} -o IdentitiesOnly=yes -o UserKnownHostsFile={} -o StrictHostKeyChecking=accept-new",
            self.path("id_ed25519").display(),
            self.path("known_hosts").display(),
        );
        if self.ssh_port != REMOTE_PORT {
            // ssh uses the first port; that of the remote's URL comes later.
            ssh.push_str(&format!(" -p {}", self.ssh_port));
        }
        vec![("DEIS_PROFILE", self.path("client.json").display().to_string()), ("GIT_SSH_COMMAND", ssh)]
    }
}

/// Text that differs once the programs were built again.
fn stamp(binaries: &Binaries) -> anyhow::Result<String> {
    let metadata = std::fs::metadata(&binaries.workflow)
        .with_context(|| format!("{} was not built", binaries.workflow.display()))?;
    Ok(format!("{} {} {}", binaries.workflow.display(), metadata.ino(), metadata.mtime_nsec()))
}

pub fn make_private_folder(folder: &std::path::Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))?)
}

/// Reads a random secret of this platform, made on first use.
pub fn password(platform: &Platform) -> anyhow::Result<String> {
    use std::io::{Read as _, Write as _};
    let path = platform.path("password");
    if let Ok(password) = std::fs::read_to_string(&path) {
        return Ok(password);
    }
    let mut bytes = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    let password: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(&path)?;
    file.write_all(password.as_bytes())?;
    Ok(password)
}
