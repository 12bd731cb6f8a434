//! `cargo xtask test`: installs what the tests need and runs them all; ends with a count and times.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::binaries::{Binaries, Profile};
use crate::cluster::{Cluster, Programs};
use crate::e2e::{SCENES, Stage};
use crate::fuzz::FuzzApi;
use crate::postgres::Postgres;
use crate::{binaries, daemon, images, packages, paths, progress, stack, wire};

/// Version of cargo-deny that the checks were written for.
const CARGO_DENY: &str = "0.20.2";
/// All tests that need no built program.
const EVERYTHING: &[&str] = &["test", "--workspace", "--exclude=e2e", "--locked", "--no-fail-fast"];
/// Longest time of one stage of tests, its compilation included; one that takes longer hangs.
const TESTS_MAX: Duration = Duration::from_secs(40 * 60);
/// How long a line may follow the end of the tests.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Install what the tests need and run them all.
///
/// Formatting, clippy, unit and integration tests on SQLite and PostgreSQL, HTTP/2 by h2spec, engine conformance on Docker and on
/// Kubernetes, scenarios with real git and containers on both, a minute of fuzzing the API, dependency policy.
#[derive(Debug, clap::Args)]
pub struct Test {
    /// Run only the stages whose names contain this text.
    #[arg(long)]
    only: Option<String>,
    /// Leave out the stages on Kubernetes; the first time they build it, which takes about twenty minutes.
    #[arg(long)]
    without_kubernetes: bool,
}

impl Test {
    pub fn run(&self) -> anyhow::Result<()> {
        let mut stages = Stages { only: self.only.clone(), ..Stages::default() };
        let ended = self.run_stages(&mut stages);
        stages.print_summary();
        ended
    }

    fn run_stages(&self, stages: &mut Stages) -> anyhow::Result<()> {
        stages.run("install", install)?;
        stages.run("format", || cargo(&["fmt", "--all", "--check"]))?;
        let clippy =
            ["clippy", "--workspace", "--all-targets", "--all-features", "--locked", "--", "-D", "warnings"];
        stages.run("clippy", || cargo(&clippy))?;
        let binaries = stages.always("binaries", || binaries::build(Profile::Debug))?;
        stages
            .always("stack image", || stack::ensure(&stack::StackOptions::standard(binaries.slug.clone())))?;
        stages.ordinary_tests(&binaries)?;
        stages.run("h2spec", wire::h2spec)?;
        stages.tests_on_postgres()?;
        stages.tests("scenarios", &mut scenarios(&binaries)?)?;
        stages.run("api fuzz", || FuzzApi::of_minutes(1).run_with(&binaries))?;
        stages.run("dependencies", check_dependencies)?;
        if self.without_kubernetes {
            return Ok(());
        }
        stages.tests_on_kubernetes()
    }
}

fn install() -> anyhow::Result<()> {
    use packages::{C_COMPILER, CURL, DOCKER, GIT, MMDEBSTRAP, OPENSSL, POSTGRESQL, SLAPD, SSH, SSH_KEYGEN};
    packages::ensure(&[
        DOCKER, GIT, SSH, SSH_KEYGEN, CURL, OPENSSL, MMDEBSTRAP, C_COMPILER, POSTGRESQL, SLAPD,
    ])?;
    // Behind the router, requests are held to mean the same to each of these.
    packages::ensure(&[
        packages::NGINX,
        packages::HAPROXY,
        packages::NODE,
        packages::PYTHON,
        packages::GUNICORN,
    ])?;
    daemon::ensure_running()?;
    if cargo_deny().is_file() {
        return Ok(());
    }
    progress::step("Install cargo-deny", || {
        let root = paths::cache().join("tools");
        let install = ["install", "--quiet", "--locked", "cargo-deny", "--version", CARGO_DENY, "--root"];
        progress::run(cargo_command(&install).arg(root))
    })
}

fn cargo_deny() -> std::path::PathBuf {
    paths::cache().join("tools/bin/cargo-deny")
}

fn check_dependencies() -> anyhow::Result<()> {
    let deny = |what: &[&str]| {
        let mut command = Command::new(cargo_deny());
        command.current_dir(paths::checkout()).args(["--log-level=error", "check"]).args(what);
        command
    };
    progress::run(&mut deny(&["bans", "licenses", "sources"]))?;
    if !progress::succeeds(&mut deny(&["advisories", "--disable-fetch"]))
        && !progress::succeeds(&mut deny(&["advisories"]))
    {
        println!(
            "    advisories were NOT checked: the advisory database cannot be reached, or names a crate in use"
        );
    }
    Ok(())
}

/// What scenarios on one machine need.
pub fn prepare_scenarios() -> anyhow::Result<Binaries> {
    install()?;
    let binaries = binaries::build(Profile::Debug)?;
    stack::ensure(&stack::StackOptions::standard(binaries.slug.clone()))?;
    Ok(binaries)
}

pub fn scenarios(binaries: &Binaries) -> anyhow::Result<Command> {
    let mut command = cargo_command(&["test", "--package=e2e", "--locked", "--no-fail-fast"]);
    command.env("WORKFLOW_BIN", &binaries.workflow).env("DEIS_BIN", &binaries.deis);
    command.env("WORKFLOW_E2E_DISTRIBUTION", images::distribution()?);
    Ok(command)
}

fn cargo(arguments: &[&str]) -> anyhow::Result<()> {
    progress::run(&mut cargo_command(arguments))
}

fn cargo_command(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(paths::checkout()).args(arguments);
    command
}

/// What ran so far.
#[derive(Default)]
struct Stages {
    only: Option<String>,
    times: Vec<(String, Duration)>,
    passed: u64,
    failed: u64,
    ignored: u64,
}

impl Stages {
    /// Runs a stage unless the person asked for others.
    fn run(&mut self, name: &str, work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
        if !self.is_wanted(name) {
            return Ok(());
        }
        self.always(name, work)
    }

    fn is_wanted(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|only| name.contains(only.as_str()))
    }

    /// Runs a stage that others stand on.
    fn always<T>(&mut self, name: &str, work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
        println!("\n==== {name}");
        let begun = Instant::now();
        let done = work().with_context(|| format!("stage `{name}`"));
        self.times.push((name.to_owned(), begun.elapsed()));
        done
    }

    fn ordinary_tests(&mut self, binaries: &Binaries) -> anyhow::Result<()> {
        if !self.is_wanted("tests") {
            return Ok(());
        }
        let pebble = self.always("certificate authority", || Programs::ensure_tool("pebble"))?;
        let mut tests = cargo_command(EVERYTHING);
        self.tests("tests", tests.env("SLUG_BIN", &binaries.slug).env("WORKFLOW_TEST_PEBBLE", pebble))
    }

    fn tests_on_postgres(&mut self) -> anyhow::Result<()> {
        if !self.is_wanted("tests on PostgreSQL") {
            return Ok(());
        }
        let postgres = Postgres::start()?;
        // The same packages and features as before: with others, cargo would build all libraries again.
        let tests = ["--test=records", "--test=api", "--test=convergence"];
        self.tests(
            "tests on PostgreSQL",
            cargo_command(&[EVERYTHING, &tests].concat()).env("WORKFLOW_TEST_POSTGRES_URL", postgres.url()),
        )
    }

    fn tests_on_kubernetes(&mut self) -> anyhow::Result<()> {
        let names = ["Kubernetes", "chart for Kubernetes", "engine on Kubernetes", "scenarios on Kubernetes"];
        if !names.iter().any(|name| self.is_wanted(name)) {
            return Ok(());
        }
        let cluster = Cluster::chosen();
        if !cluster.may_be_used() {
            println!(
                "\nWhat runs on Kubernetes was NOT tested: run this as root, or set KUBECONFIG to a cluster"
            );
            return Ok(());
        }
        let was_up = cluster.is_up();
        let ended = self.tests_on_stage(names);
        if !was_up {
            cluster.down()?;
        }
        ended
    }

    fn tests_on_stage(&mut self, names: [&str; 4]) -> anyhow::Result<()> {
        let stage = self.always(names[0], || Stage::set(&SCENES))?;
        self.tests(names[1], &mut stage.chart()?)?;
        self.tests(names[2], &mut stage.engine()?)?;
        self.tests(names[3], &mut stage.scenarios(None)?)
    }

    /// Runs tests with cargo, passing its output on and counting.
    fn tests(&mut self, name: &str, command: &mut Command) -> anyhow::Result<()> {
        if !self.is_wanted(name) {
            return Ok(());
        }
        let mut counts = (0, 0, 0);
        let ended = self.always(name, || {
            let mut child = command
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                // A group, so that a stage that hangs ends with all that it has started.
                .process_group(0)
                .spawn()
                .context("cannot run cargo")?;
            let lines = lines_of(&mut child)?;
            let status = follow(&mut child, &lines, |line| {
                println!("{line}");
                let (passed, failed, ignored) = count(line).unwrap_or_default();
                counts = (counts.0 + passed, counts.1 + failed, counts.2 + ignored);
            })?;
            match status.success() {
                true => Ok(()),
                false => bail!("{} tests failed ({status})", counts.1),
            }
        });
        self.passed += counts.0;
        self.failed += counts.1;
        self.ignored += counts.2;
        ended
    }

    fn print_summary(&self) {
        println!("\n==== times");
        for (name, time) in &self.times {
            println!("{name:24} {:>8}", progress::seconds(*time));
        }
        let total: Duration = self.times.iter().map(|(_, time)| *time).sum();
        println!("{:24} {:>8}", "all", progress::seconds(total));
        println!("\n{} passed, {} failed, {} skipped", self.passed, self.failed, self.ignored);
    }
}

/// The lines that a program prints, as they come.
fn lines_of(child: &mut Child) -> anyhow::Result<Receiver<String>> {
    let stdout = child.stdout.take().context("the output was piped")?;
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        let texts = BufReader::new(stdout).lines().map_while(Result::ok);
        texts.map(|line| sender.send(line)).take_while(Result::is_ok).count()
    });
    Ok(lines)
}

/// Follows a program to its end, which is the end of its process: something that it has left behind may hold
/// its output open for ever.
fn follow(
    child: &mut Child,
    lines: &Receiver<String>,
    mut take: impl FnMut(&str),
) -> anyhow::Result<ExitStatus> {
    let begun = Instant::now();
    let mut ended = None;
    loop {
        match lines.recv_timeout(LAST_LINES) {
            Ok(line) => take(&line),
            Err(RecvTimeoutError::Disconnected) => return Ok(ended.map_or_else(|| child.wait(), Ok)?),
            Err(RecvTimeoutError::Timeout) => {
                if let Some(status) = ended {
                    return Ok(status);
                }
                ended = child.try_wait()?;
            }
        }
        if begun.elapsed() > TESTS_MAX {
            let group = format!("-{}", child.id());
            progress::succeeds(Command::new("kill").args(["-KILL", "--", &group]));
            bail!("stopped after {} s: a test hangs", TESTS_MAX.as_secs());
        }
    }
}

/// Reads `test result: ok. 3 passed; 0 failed; 1 ignored; …`.
fn count(line: &str) -> Option<(u64, u64, u64)> {
    let counts = line.strip_prefix("test result: ")?.split_once(". ")?.1;
    let mut numbers = counts.split("; ").map(|part| part.split(' ').next()?.parse().ok());
    Some((numbers.next()??, numbers.next()??, numbers.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_program_is_seen_though_something_holds_its_output_open() {
        let mut child = Command::new("sh")
            .args(["-c", "echo one; sleep 1000 & echo two; exit 3"])
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .expect("a shell");
        let lines = lines_of(&mut child).expect("piped");
        let mut heard = Vec::new();

        let status = follow(&mut child, &lines, |line| heard.push(line.to_owned())).expect("it ends");

        assert_eq!((status.code(), heard), (Some(3), vec!["one".to_owned(), "two".to_owned()]));
        progress::succeeds(Command::new("kill").args(["-KILL", "--", &format!("-{}", child.id())]));
    }

    #[test]
    fn the_closing_line_of_a_test_program_is_counted() {
        let line = "test result: FAILED. 3 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s";

        assert_eq!(count(line), Some((3, 2, 1)));
        assert_eq!(count("running 3 tests"), None);
    }
}
