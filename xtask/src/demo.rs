//! `cargo xtask demo`: from a new machine to an app that responds, each step shown as a user types it.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use crate::binaries::{Binaries, Profile};
use crate::platform::{Platform, password};
use crate::{binaries, daemon, packages, paths, platform, progress, stack};

const HTTP_PORT: u16 = 8000;
const SSH_PORT: u16 = 2222;
const USER: &str = "admin";
const APP: &str = "hello";

/// Start the platform on this machine and push an app to it, step by step.
///
/// Installs what is missing, builds the programs, and leaves the platform running.
#[derive(Debug, clap::Args)]
pub struct Demo {
    /// Stop the platform and remove everything that the demo made.
    #[arg(long)]
    down: bool,
    /// Example to push: a folder of `examples/`.
    #[arg(long, default_value = "python")]
    example: String,
}

impl Demo {
    pub fn run(&self) -> anyhow::Result<()> {
        let platform = Platform::named("demo", HTTP_PORT, SSH_PORT);
        if self.down {
            return take_down(&platform);
        }
        let begun = Instant::now();
        let binaries = set_up(&platform)?;
        let journey = Journey::new(&platform, &binaries, &self.example)?;
        journey.sign_in()?;
        journey.push_the_example()?;
        journey.change_it()?;
        journey.farewell(begun.elapsed());
        Ok(())
    }
}

fn set_up(platform: &Platform) -> anyhow::Result<Binaries> {
    use packages::{C_COMPILER, CURL, DOCKER, GIT, MMDEBSTRAP, SSH, SSH_KEYGEN};
    packages::ensure(&[DOCKER, GIT, SSH, SSH_KEYGEN, CURL, MMDEBSTRAP, C_COMPILER])?;
    daemon::ensure_running()?;
    let binaries = binaries::build(Profile::Release)?;
    stack::ensure(&stack::StackOptions::standard(binaries.slug.clone()))?;
    platform.ensure_running(&binaries)?;
    Ok(binaries)
}

fn take_down(platform: &Platform) -> anyhow::Result<()> {
    platform.wipe()?;
    stack::remove()?;
    daemon::stop_own()?;
    println!(
        "Nothing of the demo is left. Kept for the next time: Debian packages, target/ and {}.",
        paths::cache().display()
    );
    Ok(())
}

/// The steps of a user, with `deis`, `git` and `curl`.
struct Journey<'a> {
    platform: &'a Platform,
    programs: PathBuf,
    source: PathBuf,
    password: String,
}

impl<'a> Journey<'a> {
    fn new(platform: &'a Platform, binaries: &Binaries, example: &str) -> anyhow::Result<Self> {
        let programs = binaries.deis.parent().context("deis lies in a folder")?.to_owned();
        let source = copy_example(platform, example)?;
        Ok(Self { platform, programs, source, password: password(platform)? })
    }

    fn sign_in(&self) -> anyhow::Result<()> {
        println!("\nFrom here on, each line after a $ is what you would type.");
        let url = self.platform.url();
        let user = format!("--username={USER}");
        let secret = format!("--password={}", self.password);
        let key = self.platform.path("id_ed25519");
        let marker = self.platform.path("registered");
        if marker.exists() {
            return self.type_in(&["deis", "login", &url, &user, &secret]);
        }
        self.type_in(&["deis", "register", &url, &user, &secret, "--email=admin@example.com"])?;
        if !key.exists() {
            let key = key.display().to_string();
            self.type_in(&["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "demo", "-f", &key])?;
        }
        let public = key.with_extension("pub").display().to_string();
        self.type_in(&["deis", "keys:add", &public])?;
        Ok(std::fs::write(marker, "")?)
    }

    fn push_the_example(&self) -> anyhow::Result<()> {
        if self.deis(&["apps:info", "--app", APP]) {
            self.type_in(&["deis", "destroy", &format!("--app={APP}"), &format!("--confirm={APP}")])?;
        }
        self.type_in(&["git", "init", "--quiet", "--initial-branch=master"])?;
        self.type_in(&["git", "add", "."])?;
        let identity = ["-c", "user.name=Demo", "-c", "user.email=demo@example.com"];
        self.type_in(&[&["git"], &identity[..], &["commit", "--quiet", "--message", "Say hello"]].concat())?;
        self.type_in(&["deis", "create", APP])?;
        self.type_in(&["git", "push", "deis", "master"])?;
        self.visit()
    }

    fn change_it(&self) -> anyhow::Result<()> {
        self.type_in(&["deis", "scale", "web=2"])?;
        self.type_in(&["deis", "config:set", "POWERED_BY=a changed config"])?;
        self.visit()?;
        self.type_in(&["deis", "rollback", "v2"])?;
        self.visit()?;
        self.type_in(&["deis", "releases"])?;
        self.type_in(&["deis", "logs", "-n", "12"])
    }

    fn visit(&self) -> anyhow::Result<()> {
        let host = format!("{APP}.localhost");
        println!("\n$ curl http://{host}:{HTTP_PORT}");
        let begun = Instant::now();
        let answer = platform::get(HTTP_PORT, &host, "/")?;
        print!("{}", answer.body);
        if !answer.body.ends_with('\n') {
            println!();
        }
        println!("    HTTP {} in {} ms", answer.status, begun.elapsed().as_millis());
        ensure!(answer.status == 200, "{APP} answers {}: see `deis logs --app {APP}`", answer.status);
        Ok(())
    }

    /// Shows a command and runs it in the app's folder.
    fn type_in(&self, words: &[&str]) -> anyhow::Result<()> {
        let shown: Vec<String> = words.iter().map(|word| shown(word, &self.password)).collect();
        println!("\n$ {}", shown.join(" "));
        let begun = Instant::now();
        let status = self.command(words).status().with_context(|| format!("cannot run {}", words[0]))?;
        println!("    {}", progress::seconds(begun.elapsed()));
        ensure!(
            status.success(),
            "`{}` failed ({status}): the platform's log is {}",
            shown.join(" "),
            self.platform.log().display()
        );
        Ok(())
    }

    fn deis(&self, words: &[&str]) -> bool {
        progress::succeeds(&mut self.command(&[&["deis"], words].concat()))
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = match words[0] {
            "deis" => Command::new(self.programs.join("deis")),
            other => Command::new(other),
        };
        command.args(&words[1..]).current_dir(&self.source).stdin(std::process::Stdio::null());
        command.envs(self.platform.environment());
        command
    }

    fn farewell(&self, spent: Duration) {
        println!(
            "\nThe platform runs, {} after the start. To go on by yourself:\n",
            progress::seconds(spent)
        );
        println!("    export PATH={}:$PATH", self.programs.display());
        for (name, value) in self.platform.environment() {
            println!("    export {name}='{value}'");
        }
        println!("    cd {}", self.source.display());
        println!("    deis help\n");
        println!("Stop and remove everything: cargo xtask demo --down");
        println!("Your app: http://{APP}.localhost:{HTTP_PORT}");
    }
}

/// Quotes a word where a shell needs it and replaces the password.
fn shown(word: &str, password: &str) -> String {
    let word = word.replace(password, "********");
    match word.is_empty() || word.contains([' ', '$', '"']) {
        true => format!("'{word}'"),
        false => word,
    }
}

/// A new copy of the example outside of the checkout, so that it is a separate repository.
fn copy_example(platform: &Platform, example: &str) -> anyhow::Result<PathBuf> {
    let from = paths::checkout().join("examples").join(example);
    ensure!(from.is_dir(), "--example {example}: there is no folder {}", from.display());
    let to = platform.path(APP);
    if to.exists() {
        std::fs::remove_dir_all(&to).with_context(|| format!("cannot clear {}", to.display()))?;
    }
    progress::run(Command::new("cp").args(["--recursive", "--preserve=mode"]).arg(from).arg(&to))?;
    Ok(to)
}
