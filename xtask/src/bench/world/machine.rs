//! A platform on this machine's Docker.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Context as _;

use crate::binaries::{self, Profile};
use crate::platform::Platform;
use crate::{daemon, packages, progress, stack};

/// The platform's objects in Docker.
pub struct Machine {
    instance: String,
}

/// Starts a new platform; returns the path of `deis`, too.
pub fn start() -> anyhow::Result<(Platform, PathBuf)> {
    use packages::{C_COMPILER, DOCKER, GIT, MMDEBSTRAP, SSH, SSH_KEYGEN};
    packages::ensure(&[DOCKER, GIT, SSH, SSH_KEYGEN, MMDEBSTRAP, C_COMPILER])?;
    daemon::ensure_running()?;
    let binaries = binaries::build(Profile::Release)?;
    stack::ensure(&stack::StackOptions::standard(binaries.slug.clone()))?;
    let platform = Platform::named("bench", 18_000, 12_222);
    platform.wipe()?;
    platform.ensure_running(&binaries)?;
    Ok((platform, binaries.deis))
}

impl Machine {
    pub fn of(platform: &Platform) -> anyhow::Result<Self> {
        let instance = std::fs::read_to_string(platform.path("data/instance"))?;
        Ok(Self { instance: instance.trim().to_owned() })
    }

    /// Number of the app's containers, stopping ones included.
    pub fn replicas(&self, app: &str) -> anyhow::Result<usize> {
        let labels =
            [format!("label=io.deis.app={app}"), format!("label=io.deis.instance={}", self.instance)];
        let list = ["ps", "--all", "--quiet", "--filter", &labels[0], "--filter", &labels[1]];
        Ok(progress::output(Command::new("docker").args(list))?.lines().count())
    }
}

/// The main process and all its descendants.
pub fn processes(platform: &Platform) -> anyhow::Result<Vec<u32>> {
    let main = platform.pid().context("the platform does not run")?;
    let children =
        progress::output(Command::new("pgrep").args(["--parent", &main.to_string()])).unwrap_or_default();
    let children = children.lines().filter_map(|line| line.trim().parse().ok());
    Ok(std::iter::once(main).chain(children).collect())
}
