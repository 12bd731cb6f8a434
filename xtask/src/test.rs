//! `cargo xtask test`: installs the programs that the tests need and runs all tests; ends with a count and times.

mod results;
mod run;

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use cluster::{Cluster, Programs};

use crate::binaries::{Binaries, Profile};
use crate::e2e::{SCENES, Stage};
use crate::fuzz::FuzzApi;
use crate::postgres::Postgres;
use crate::{binaries, daemon, images, packages, paths, progress, stack, wire};
use results::{Counts, Failures, Results};
pub use run::TestRun;

/// Tools that check dependencies, with the versions that the checks were written for.
const CARGO_DENY: (&str, &str) = ("cargo-deny", "0.20.2");
const CARGO_MACHETE: (&str, &str) = ("cargo-machete", "0.9.2");
/// Selection of all tests that need no built program.
const EVERYTHING: &[&str] = &["--workspace", "--exclude=e2e"];
/// Test programs at once: most wait for containers, servers and clocks more than they compute.
const AT_ONCE: usize = 2;
/// Most tests of a whole run that may pass only when they run again.
const FLAKY_MAX: usize = 12;
/// Longest fetch of the database of advisories.
const FETCH_MAX: Duration = Duration::from_secs(120);
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
        ended?;
        ensure!(stages.failed.is_empty(), "{}", stages.failed.join("\n"));
        let flaky: usize = stages.results.flaky.iter().map(|failures| failures.tests.len()).sum();
        ensure!(
            flaky <= FLAKY_MAX,
            "{flaky} tests passed only when they ran again alone; at most {FLAKY_MAX} may"
        );
        Ok(())
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
        stages.tests("scenarios", &scenarios(&binaries)?)?;
        stages.run("api fuzz", || FuzzApi::of_minutes(1).run_with(&binaries))?;
        stages.run("dependencies", check_dependencies)?;
        if self.without_kubernetes {
            return Ok(());
        }
        stages.tests_on_kubernetes()
    }
}

fn install() -> anyhow::Result<()> {
    use packages::{
        C_COMPILER, CURL, DNSMASQ, DOCKER, GIT, MMDEBSTRAP, OPENSSL, POSTGRESQL, SLAPD, SSH, SSH_KEYGEN,
    };
    packages::ensure(&[
        DOCKER, GIT, SSH, SSH_KEYGEN, CURL, OPENSSL, MMDEBSTRAP, C_COMPILER, POSTGRESQL, SLAPD, DNSMASQ,
    ])?;
    // Behind the router, requests must mean the same to each of these servers.
    packages::ensure(&[
        packages::NGINX,
        packages::HAPROXY,
        packages::NODE,
        packages::PYTHON,
        packages::GUNICORN,
    ])?;
    // Programs that show the firewall's rules.
    packages::ensure(&[packages::IPROUTE, packages::NFTABLES, packages::IPTABLES])?;
    daemon::ensure_running()?;
    [CARGO_DENY, CARGO_MACHETE].into_iter().try_for_each(install_tool)
}

fn install_tool((name, version): (&str, &str)) -> anyhow::Result<()> {
    if tool(name).is_file() {
        return Ok(());
    }
    progress::step(&format!("Install {name}"), || {
        let root = paths::cache().join("tools");
        // It is fast enough without optimization, and builds in half the time.
        let install = ["install", "--quiet", "--locked", "--debug", name, "--version", version, "--root"];
        progress::run(cargo_command(&install).arg(root).env("CARGO_PROFILE_DEV_DEBUG", "0"))
    })
}

fn tool(name: &str) -> PathBuf {
    paths::cache().join("tools/bin").join(name)
}

fn check_dependencies() -> anyhow::Result<()> {
    let mut unused = Command::new(tool(CARGO_MACHETE.0));
    progress::run(unused.arg(paths::checkout()))
        .context("a package does not use a dependency that it names")?;
    progress::run(&mut deny(&["check", "bans", "licenses", "sources"]))?;
    let is_fetched = progress::succeeds(&mut progress::within(FETCH_MAX, &deny(&["fetch", "db"])));
    match advisories() {
        None => println!("    advisories were NOT checked: their database is not here and cannot be fetched"),
        Some(database) => {
            if !is_fetched {
                println!(
                    "    advisories may be out of date: {} could not be brought up to date",
                    database.display()
                );
            }
            progress::run(&mut deny(&["--offline", "check", "advisories"])).context(
                "an advisory names a crate in use: update it, or list its id with a reason in deny.toml",
            )?;
        }
    }
    Ok(())
}

/// A command of cargo-deny; its global options come first.
fn deny(arguments: &[&str]) -> Command {
    let mut command = Command::new(tool(CARGO_DENY.0));
    command.current_dir(paths::checkout()).arg("--log-level=error").args(arguments);
    command
}

/// The database of advisories that cargo-deny keeps, if there is one.
fn advisories() -> Option<PathBuf> {
    let cargo = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let cargo = cargo.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")))?;
    let folders = std::fs::read_dir(cargo.join("advisory-dbs")).ok()?.flatten().map(|entry| entry.path());
    folders.into_iter().find(|folder| folder.join("crates").is_dir())
}

/// Prepares scenarios on one machine.
pub fn prepare_scenarios() -> anyhow::Result<Binaries> {
    install()?;
    let binaries = binaries::build(Profile::Debug)?;
    stack::ensure(&stack::StackOptions::standard(binaries.slug.clone()))?;
    Ok(binaries)
}

pub fn scenarios(binaries: &Binaries) -> anyhow::Result<TestRun> {
    let run = TestRun::new(&["--package=e2e"]).at_once(AT_ONCE);
    let run = run.env("WORKFLOW_BIN", &binaries.workflow).env("DEIS_BIN", &binaries.deis);
    Ok(run.env("WORKFLOW_E2E_DISTRIBUTION", images::distribution()?))
}

fn cargo(arguments: &[&str]) -> anyhow::Result<()> {
    progress::run(&mut cargo_command(arguments))
}

fn cargo_command(arguments: &[&str]) -> Command {
    let mut command = Command::new(paths::cargo());
    command.current_dir(paths::checkout()).args(arguments);
    command
}

/// Stages that ran so far.
#[derive(Default)]
struct Stages {
    only: Option<String>,
    times: Vec<(String, Duration)>,
    results: Results,
    /// Failed tests of each stage; the other stages go on.
    failed: Vec<String>,
}

impl Stages {
    /// Runs a stage unless `--only` names others.
    fn run(&mut self, name: &str, work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
        if !self.is_wanted(name) {
            return Ok(());
        }
        self.always(name, work)
    }

    fn is_wanted(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|only| name.contains(only.as_str()))
    }

    /// Runs a stage that others need.
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
        let tests = TestRun::new(EVERYTHING).at_once(AT_ONCE);
        self.tests("tests", &tests.env("SLUG_BIN", &binaries.slug).env("WORKFLOW_TEST_PEBBLE", pebble))
    }

    fn tests_on_postgres(&mut self) -> anyhow::Result<()> {
        if !self.is_wanted("tests on PostgreSQL") {
            return Ok(());
        }
        let postgres = Postgres::start()?;
        // The same packages and features as before: with others, cargo would build all libraries again.
        let tests = ["--test=records", "--test=api", "--test=convergence"];
        let tests = TestRun::new(EVERYTHING).selecting(&tests).at_once(AT_ONCE);
        self.tests("tests on PostgreSQL", &tests.env("WORKFLOW_TEST_POSTGRES_URL", postgres.url()))
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
        self.tests(names[1], &stage.chart())?;
        self.tests(names[2], &stage.engine()?)?;
        let ended = self.tests(names[3], &stage.scenarios(None)?);
        stage.remove_platforms().and(ended)
    }

    /// Runs tests and counts them.
    fn tests(&mut self, name: &str, run: &TestRun) -> anyhow::Result<()> {
        if !self.is_wanted(name) {
            return Ok(());
        }
        let mut results = Results::default();
        let ended = self.always(name, || run.run(&mut results));
        self.results.add(results);
        if let Err(error) = ended {
            println!("{error:#}");
            self.failed.push(format!("{error:#}"));
        }
        Ok(())
    }

    fn print_summary(&self) {
        println!("\n==== times");
        for (name, time) in &self.times {
            println!("{name:24} {:>8}", progress::seconds(*time));
        }
        let total: Duration = self.times.iter().map(|(_, time)| *time).sum();
        println!("{:24} {:>8}", "all", progress::seconds(total));
        let Results { counts, flaky, failed } = &self.results;
        if !flaky.is_empty() {
            println!("\n==== flaky: failed, then passed alone; to be mended");
            flaky.iter().for_each(Failures::print);
        }
        if !failed.is_empty() {
            println!("\n==== failed");
            failed.iter().for_each(Failures::print);
        }
        let Counts { passed, failed, ignored } = counts;
        println!("\n{passed} passed, {failed} failed, {ignored} skipped");
    }
}
