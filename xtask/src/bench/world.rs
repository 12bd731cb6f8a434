//! The world of a bench: a platform of release programs on ports of its own, and a user's commands.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use crate::binaries::{self, Binaries, Profile};
use crate::platform::{self, Platform, password};
use crate::{daemon, packages, paths, progress, stack};

pub struct World {
    pub platform: Platform,
    binaries: Binaries,
}

impl World {
    /// Starts afresh: what an earlier bench left is wiped first.
    pub fn start() -> anyhow::Result<Self> {
        use packages::{C_COMPILER, DOCKER, GIT, MMDEBSTRAP, SSH, SSH_KEYGEN};
        packages::ensure(&[DOCKER, GIT, SSH, SSH_KEYGEN, MMDEBSTRAP, C_COMPILER])?;
        daemon::ensure_running()?;
        let binaries = binaries::build(Profile::Release)?;
        stack::ensure(&stack::StackOptions::standard(binaries.slug.clone()))?;
        let platform = Platform::named("bench", 18_000, 12_222);
        platform.wipe()?;
        platform.ensure_running(&binaries)?;
        let world = Self { platform, binaries };
        world.sign_up()?;
        Ok(world)
    }

    pub fn take_down(&self) -> anyhow::Result<()> {
        self.platform.wipe()
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

    /// A fresh app with the source of an example, committed and not yet pushed.
    pub fn app(&self, name: &str, example: &str) -> anyhow::Result<PathBuf> {
        let source = self.platform.path(name);
        let from = paths::checkout().join("examples").join(example);
        progress::output(Command::new("cp").args(["--recursive", "--preserve=mode"]).arg(from).arg(&source))?;
        self.git(&source, &["init", "--quiet", "--initial-branch=master"])?;
        self.commit(&source, "first")?;
        self.deis(&source, &["create", name])?;
        Ok(source)
    }

    /// Commits all there is, also when nothing changed.
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

    /// Pushes; gives back each line that git printed with the time since the start.
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
        self.typed(Command::new(&self.binaries.deis), folder, arguments)
    }

    fn git(&self, folder: &Path, arguments: &[&str]) -> anyhow::Result<String> {
        self.typed(Command::new("git"), folder, arguments)
    }

    fn typed(&self, mut command: Command, folder: &Path, arguments: &[&str]) -> anyhow::Result<String> {
        progress::output(command.args(arguments).current_dir(folder).envs(self.platform.environment()))
    }

    /// Waits until the app answers with a text that holds `wanted`; tells how long that took.
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

    /// Waits until just so many containers of the app are left.
    pub fn wait_for_replicas(&self, app: &str, count: usize) -> anyhow::Result<()> {
        let instance = std::fs::read_to_string(self.platform.path("data/instance"))?;
        let labels =
            [format!("label=io.deis.app={app}"), format!("label=io.deis.instance={}", instance.trim())];
        let running = || {
            let list = ["ps", "--all", "--quiet", "--filter", &labels[0], "--filter", &labels[1]];
            progress::output(Command::new("docker").args(list)).is_ok_and(|ids| ids.lines().count() == count)
        };
        let settled = progress::wait_until(Duration::from_secs(60), running);
        ensure!(settled, "{app} does not come to {count} containers");
        Ok(())
    }

    /// Process ids of the platform: the main process and all it has started.
    pub fn processes(&self) -> anyhow::Result<Vec<u32>> {
        let main = self.platform.pid().context("the platform does not run")?;
        let children =
            progress::output(Command::new("pgrep").args(["--parent", &main.to_string()])).unwrap_or_default();
        let children = children.lines().filter_map(|line| line.trim().parse().ok());
        Ok(std::iter::once(main).chain(children).collect())
    }
}
