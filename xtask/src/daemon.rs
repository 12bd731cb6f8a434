//! The Docker daemon: used where one runs, started where none does.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};

use crate::{packages, paths, progress};

/// Starts a Docker daemon unless one responds.
pub fn ensure_running() -> anyhow::Result<()> {
    if answers() {
        return Ok(());
    }
    progress::step("Start the Docker daemon", || {
        if Path::new("/run/systemd/system").is_dir() {
            progress::run(packages::as_root("systemctl").args(["start", "docker"]))?;
        } else {
            start_by_hand()?;
        }
        ensure!(
            progress::wait_until(Duration::from_secs(60), answers),
            "the Docker daemon does not answer: see {} or `journalctl --unit=docker`",
            log_file().display()
        );
        Ok(())
    })
}

/// Stops the daemon if a chore started it.
pub fn stop_own() -> anyhow::Result<()> {
    let Ok(pid) = std::fs::read_to_string(pid_file()) else { return Ok(()) };
    progress::step("Stop the Docker daemon that the demo started", || {
        let pid = pid.trim();
        progress::succeeds(packages::as_root("kill").arg(pid));
        let proc = PathBuf::from(format!("/proc/{pid}"));
        ensure!(
            progress::wait_until(Duration::from_secs(30), || !proc.exists()),
            "the Docker daemon (process {pid}) does not stop"
        );
        std::fs::remove_file(log_file()).context("cannot remove the daemon's log")?;
        std::fs::remove_file(pid_file()).context("cannot forget the daemon")
    })
}

fn answers() -> bool {
    progress::succeeds(Command::new("docker").args(["version", "--format", "{{.Server.Version}}"]))
}

fn start_by_hand() -> anyhow::Result<()> {
    let program = packages::find("dockerd").context("dockerd is not installed")?;
    std::fs::create_dir_all(paths::state())?;
    let log = File::create(log_file()).with_context(|| log_file().display().to_string())?;
    // setsid: the daemon must outlive this chore and its terminal.
    let child = packages::as_root("setsid")
        .arg(program)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("cannot start dockerd")?;
    Ok(std::fs::write(pid_file(), child.id().to_string())?)
}

fn pid_file() -> PathBuf {
    paths::state().join("dockerd.pid")
}

fn log_file() -> PathBuf {
    paths::state().join("dockerd.log")
}

/// Removes all objects of one platform in Docker.
pub fn remove_instance(instance: &str) -> anyhow::Result<()> {
    let filter = format!("label=io.deis.instance={instance}");
    let listed = |arguments: &[&str]| -> anyhow::Result<Vec<String>> {
        let text =
            progress::output(Command::new("docker").args(arguments).args(["--quiet", "--filter", &filter]))?;
        Ok(text.lines().map(str::to_owned).collect())
    };
    let remove = |arguments: &[&str], ids: Vec<String>| -> anyhow::Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        progress::output(Command::new("docker").args(arguments).args(ids)).map(drop)
    };
    remove(&["rm", "--force", "--volumes"], listed(&["ps", "--all"])?)?;
    remove(&["network", "rm"], listed(&["network", "ls"])?)?;
    remove(&["volume", "rm", "--force"], listed(&["volume", "ls"])?)?;
    let images = ["image", "ls", "--format", "{{.Repository}}:{{.Tag}}"];
    let names = progress::output(Command::new("docker").args(images).arg(format!("deis-{instance}/*")))?;
    remove(&["image", "rm", "--force"], names.lines().map(str::to_owned).collect())
}
