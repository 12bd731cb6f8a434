//! The environment of a bench: a platform of release programs, and a user's commands.
//!
//! On one machine the platform has ports of its own; on a cluster it is installed by the chart.

mod cluster;
mod machine;
mod pods;
mod processes;

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use crate::platform::{self, Platform, password};
use crate::{paths, progress};
pub use cluster::{DISTRIBUTION, Installation, again_inside, is_inside, items};
use machine::Machine;
pub use pods::Pods;

/// Longest time until only the wanted replicas are left.
const SETTLE_MAX: Duration = Duration::from_secs(60);

pub struct World {
    /// The user's files and the platform's addresses; on one machine it is the platform itself.
    pub platform: Platform,
    deis: PathBuf,
    place: Place,
}

enum Place {
    Machine(Machine),
    Cluster(Box<Installation>),
}

impl World {
    /// Starts a new platform on this machine; the state of an earlier bench is removed first.
    pub fn on_machine() -> anyhow::Result<Self> {
        let (platform, deis) = machine::start()?;
        let place = Place::Machine(Machine::of(&platform)?);
        Self { platform, deis, place }.with_a_user()
    }

    /// Installs the chart with these values; inside the cluster's network.
    pub fn on_cluster(values: &[&str]) -> anyhow::Result<Self> {
        let installation = Installation::new(values)?;
        let (platform, deis) = installation.as_users_see_it()?;
        Self { platform, deis, place: Place::Cluster(Box::new(installation)) }.with_a_user()
    }

    fn with_a_user(self) -> anyhow::Result<Self> {
        self.sign_up()?;
        Ok(self)
    }

    /// Removes the platform.
    pub fn take_down(self) -> anyhow::Result<()> {
        self.platform.wipe()
    }

    /// The installation on a cluster; an error on one machine.
    pub fn installation(&self) -> anyhow::Result<&Installation> {
        match &self.place {
            Place::Cluster(installation) => Ok(installation),
            Place::Machine(_) => anyhow::bail!("this is measured on a cluster only: add --cluster"),
        }
    }

    /// Address for clients of apps.
    pub fn front_door(&self) -> SocketAddr {
        match &self.place {
            Place::Machine(_) => SocketAddr::from(([127, 0, 0, 1], self.platform.http_port)),
            Place::Cluster(installation) => installation.front_door(),
        }
    }

    fn sign_up(&self) -> anyhow::Result<()> {
        let secret = format!("--password={}", password(&self.platform)?);
        let folder = self.platform.path("");
        self.deis(
            &folder,
            &["register", &self.platform.url(), "--username=bench", &secret, "--email=bench@example.com"],
        )?;
        let key = self.platform.path("id_ed25519");
        let keygen = ["-q", "-t", "ed25519", "-N", "", "-C", "bench", "-f"];
        progress::output(Command::new("ssh-keygen").args(keygen).arg(&key))?;
        self.deis(&folder, &["keys:add", &key.with_extension("pub").display().to_string()])?;
        Ok(())
    }

    /// Creates an app with the source of an example, committed and not yet pushed.
    pub fn app(&self, name: &str, example: &str) -> anyhow::Result<PathBuf> {
        let source = self.platform.path(name);
        let from = paths::checkout().join("examples").join(example);
        progress::output(Command::new("cp").args(["--recursive", "--preserve=mode"]).arg(from).arg(&source))?;
        self.git(&source, &["init", "--quiet", "--initial-branch=master"])?;
        self.commit(&source, "first")?;
        self.deis(&source, &["create", name])?;
        Ok(source)
    }

    /// Commits everything, also without a change.
    pub fn commit(&self, source: &Path, message: &str) -> anyhow::Result<()> {
        self.git(source, &["add", "--all"])?;
        let identity = ["-c", "user.name=Bench", "-c", "user.email=bench@example.com"];
        self.git(
            source,
            &[&identity[..], &["commit", "--quiet", "--allow-empty", "--message", message]].concat(),
        )?;
        Ok(())
    }

    pub fn push(&self, source: &Path) -> anyhow::Result<String> {
        self.git(source, &["push", "deis", "master"])
    }

    /// Pushes; returns each line of git's output with the time since the start.
    pub fn push_with_times(&self, source: &Path) -> anyhow::Result<Vec<(Duration, String)>> {
        let begun = Instant::now();
        let mut child = Command::new("git")
            .args(["push", "deis", "master"])
            .current_dir(source)
            .envs(self.platform.environment())
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot run git")?;
        let stderr = child.stderr.take().context("it was piped")?;
        let lines = BufReader::new(stderr).lines().map(|line| Ok((begun.elapsed(), line?)));
        let told: Vec<_> = lines.collect::<std::io::Result<_>>()?;
        ensure!(child.wait()?.success(), "`git push deis master` failed: {told:?}");
        Ok(told)
    }

    pub fn deis(&self, folder: &Path, arguments: &[&str]) -> anyhow::Result<String> {
        self.typed(Command::new(&self.deis), folder, arguments)
    }

    fn git(&self, folder: &Path, arguments: &[&str]) -> anyhow::Result<String> {
        self.typed(Command::new("git"), folder, arguments)
    }

    fn typed(&self, mut command: Command, folder: &Path, arguments: &[&str]) -> anyhow::Result<String> {
        progress::output(command.args(arguments).current_dir(folder).envs(self.platform.environment()))
    }

    /// Waits until the app's response contains `wanted`; returns the duration.
    pub fn wait_for_answer(&self, app: &str, wanted: &str) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        let host = format!("{app}.localhost");
        let mut last = None;
        let answers = progress::wait_until(Duration::from_secs(60), || {
            last = platform::get(self.platform.http_port, &host, "/").ok();
            last.as_ref().is_some_and(|answer| answer.status == 200 && answer.body.contains(wanted))
        });
        let took = begun.elapsed();
        ensure!(answers, "{app} does not answer with {wanted:?}, but with {last:?}");
        Ok(took)
    }

    /// Waits until exactly so many replicas of the app are left.
    pub fn wait_for_replicas(&self, app: &str, count: usize) -> anyhow::Result<()> {
        let settled = progress::wait_until(SETTLE_MAX, || match &self.place {
            Place::Machine(machine) => machine.replicas(app).is_ok_and(|replicas| replicas == count),
            Place::Cluster(installation) => installation.replicas(app) == count,
        });
        ensure!(settled, "{app} does not come to {count} replicas");
        Ok(())
    }

    /// Processes of the platform on this machine.
    pub fn processes(&self) -> anyhow::Result<Vec<u32>> {
        machine::processes(&self.platform)
    }
}
