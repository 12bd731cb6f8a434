//! `cargo xtask test`: runs all tests, or some parts of them, each with the programs that it needs; ends with a count
//! and times.

mod dependencies;
mod needs;
mod results;
mod run;

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use clap::ValueEnum as _;
use cluster::{Cluster, Programs};

use crate::binaries::Profile;
use crate::e2e::{self, SCENES, Stage};
use crate::fuzz::FuzzApi;
use crate::postgres::Postgres;
use crate::{binaries, images, paths, progress, wire};
use results::{Counts, Failures, Results};
pub use run::TestRun;

/// Selection of all tests that need no built program.
const EVERYTHING: &[&str] = &["--workspace", "--exclude=e2e"];
/// Test programs at once: most wait for containers, servers and clocks more than they compute.
const AT_ONCE: usize = 2;
/// Most tests of a whole run that may pass only when they run again.
const FLAKY_MAX: usize = 12;

/// Run all tests that must pass, or only some of them.
///
/// Each part installs and builds what it needs and is not there yet. Failed tests run once more, alone.
#[derive(Debug, clap::Args)]
pub struct Test {
    /// Run only these parts, in the order of this list.
    #[arg(long, value_name = "PART", value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// Check only this package of the workspace: clippy and tests, unless --only names one of them.
    #[arg(short, long, value_name = "PACKAGE")]
    package: Option<String>,
    /// Leave out what runs on Kubernetes; the first time it is built, which takes about twenty minutes.
    #[arg(long)]
    without_kubernetes: bool,
}

/// A part of the test command; a whole run has them in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Formatting of all code.
    Format,
    /// Lints.
    Clippy,
    /// Unit and integration tests of all crates, on SQLite, and conformance of the engine on Docker.
    Tests,
    /// HTTP/2 conformance of the router, by h2spec.
    H2spec,
    /// Records, API and deployer on PostgreSQL.
    Postgresql,
    /// Scenarios with git and containers on this machine.
    Scenarios,
    /// A minute of random requests to the API.
    Fuzz,
    /// Policy of dependencies: unused, doubled, licenses, advisories.
    Dependencies,
    /// The chart as Helm renders it.
    Chart,
    /// Conformance of the engine on Kubernetes.
    KubernetesEngine,
    /// Scenarios on Kubernetes.
    KubernetesScenarios,
}

impl Part {
    /// Parts that can be run for one package.
    const OF_A_PACKAGE: &[Self] = &[Self::Clippy, Self::Tests];
    /// Parts that need a cluster.
    const ON_A_STAGE: &[Self] = &[Self::KubernetesEngine, Self::KubernetesScenarios];

    /// Programs of Kubernetes are built for it.
    fn is_for_kubernetes(self) -> bool {
        self == Self::Chart || Self::ON_A_STAGE.contains(&self)
    }

    fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

impl Test {
    pub fn run(&self) -> anyhow::Result<()> {
        let parts = self.parts()?;
        let mut stages = Stages::default();
        let ended = self.run_parts(&parts, &mut stages);
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

    /// The chosen parts, in the order of a whole run.
    fn parts(&self) -> anyhow::Result<Vec<Part>> {
        let of_a_package = |part: &Part| self.package.is_none() || Part::OF_A_PACKAGE.contains(part);
        if let Some(part) = self.only.iter().find(|part| !of_a_package(part)) {
            let possible = Part::OF_A_PACKAGE.iter().map(|part| part.name()).collect::<Vec<_>>().join(", ");
            bail!("--only {}: with --package expected one of {possible}", part.name());
        }
        self.package.as_deref().map_or(Ok(()), ensure_package)?;
        let is_chosen = |part: &Part| match self.only.is_empty() {
            true => of_a_package(part) && !(self.without_kubernetes && part.is_for_kubernetes()),
            false => self.only.contains(part),
        };
        Ok(Part::value_variants().iter().copied().filter(is_chosen).collect())
    }

    fn run_parts(&self, parts: &[Part], stages: &mut Stages) -> anyhow::Result<()> {
        let package = self.package.as_deref();
        for part in parts {
            let name = &part.name();
            match part {
                Part::Format => {
                    stages.run(name, || progress::run(&mut cargo(&["fmt", "--all", "--check"])))?;
                }
                Part::Clippy => stages.run(name, || clippy(package))?,
                Part::Tests => stages.ordinary_tests(name, package)?,
                Part::H2spec => stages.run(name, wire::h2spec)?,
                Part::Postgresql => stages.tests_on_postgres(name)?,
                Part::Scenarios => {
                    let run = stages.run("binaries and images", scenarios)?;
                    stages.tests(name, &run);
                }
                Part::Fuzz => stages.run(name, || FuzzApi::of_minutes(1).run())?,
                Part::Dependencies => stages.run(name, dependencies::check)?,
                Part::Chart => {
                    let run = stages.run("helm", e2e::chart)?;
                    stages.tests(name, &run);
                }
                Part::KubernetesEngine | Part::KubernetesScenarios => {}
            }
        }
        match parts.iter().any(|part| Part::ON_A_STAGE.contains(part)) {
            true => self.tests_on_kubernetes(parts, stages),
            false => Ok(()),
        }
    }

    fn tests_on_kubernetes(&self, parts: &[Part], stages: &mut Stages) -> anyhow::Result<()> {
        let cluster = Cluster::chosen();
        if !cluster.may_be_used() {
            let needed = "run this as root, or set KUBECONFIG to a cluster";
            ensure!(self.only.is_empty(), "tests on Kubernetes cannot run: {needed}");
            println!("\nWhat runs on Kubernetes was NOT tested: {needed}");
            return Ok(());
        }
        let was_up = cluster.is_up();
        let ended = stages.tests_on_stage(parts);
        if !was_up {
            cluster.down()?;
        }
        ended
    }
}

/// Fails unless the workspace has a package of this name.
fn ensure_package(name: &str) -> anyhow::Result<()> {
    let text = progress::output(&mut cargo(&["metadata", "--no-deps", "--offline", "--format-version=1"]))?;
    let metadata: serde_json::Value = serde_json::from_str(&text).context("cargo prints JSON")?;
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let names: Vec<_> = packages.filter_map(|package| package["name"].as_str()).collect();
    ensure!(names.contains(&name), "--package {name}: expected one of {}", names.join(", "));
    Ok(())
}

/// Lints of one package, or of all.
fn clippy(package: Option<&str>) -> anyhow::Result<()> {
    let selection =
        package.map_or_else(|| "--workspace".to_owned(), |package| format!("--package={package}"));
    let mut clippy = cargo(&["clippy", &selection, "--all-targets", "--all-features", "--locked"]);
    progress::run(clippy.args(["--", "-D", "warnings"]))
}

/// Prepares the scenarios on one machine.
pub fn scenarios() -> anyhow::Result<TestRun> {
    needs::install_for_scenarios()?;
    needs::images_with_toolchains()?;
    let binaries = binaries::build(Profile::Debug)?;
    let run = TestRun::new(&["--package=e2e"]).at_once(AT_ONCE);
    let run = run.env("WORKFLOW_BIN", &binaries.workflow).env("DEIS_BIN", &binaries.deis);
    Ok(run.env("WORKFLOW_E2E_DISTRIBUTION", images::distribution()?))
}

fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(paths::cargo());
    command.current_dir(paths::checkout()).args(arguments);
    command
}

/// Stages that ran so far.
#[derive(Default)]
struct Stages {
    times: Vec<(String, Duration)>,
    results: Results,
    /// Failed tests of each stage; the other stages go on.
    failed: Vec<String>,
}

impl Stages {
    fn run<T>(&mut self, name: &str, work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
        println!("\n==== {name}");
        let begun = Instant::now();
        let done = work().with_context(|| format!("stage `{name}`"));
        self.times.push((name.to_owned(), begun.elapsed()));
        done
    }

    fn ordinary_tests(&mut self, name: &str, package: Option<&str>) -> anyhow::Result<()> {
        ensure!(package != Some("e2e"), "--package e2e: its tests are the part `scenarios`");
        self.run("programs for tests", || needs::install(package))?;
        let mut tests = match package {
            Some(package) => TestRun::new(&[&format!("--package={package}")]),
            None => TestRun::new(EVERYTHING),
        };
        if needs::images_are_used_by(package) {
            self.run("images", needs::images)?;
        }
        if needs::authority_is_used_by(package) {
            let pebble = self.run("certificate authority", || Programs::ensure_tool("pebble"))?;
            tests = tests.env("WORKFLOW_TEST_PEBBLE", pebble);
        }
        self.tests(name, &tests.at_once(AT_ONCE));
        Ok(())
    }

    fn tests_on_postgres(&mut self, name: &str) -> anyhow::Result<()> {
        needs::install_for_postgres()?;
        let postgres = Postgres::start()?;
        // The same packages and features as in the part `tests`: with others, cargo would build all libraries again.
        let tests = ["--test=records", "--test=api", "--test=convergence"];
        let tests = TestRun::new(EVERYTHING).selecting(&tests).at_once(AT_ONCE);
        self.tests(name, &tests.env("WORKFLOW_TEST_POSTGRES_URL", postgres.url()));
        Ok(())
    }

    fn tests_on_stage(&mut self, parts: &[Part]) -> anyhow::Result<()> {
        let stage = self.run("Kubernetes", || Stage::set(&SCENES))?;
        if parts.contains(&Part::KubernetesEngine) {
            self.tests(&Part::KubernetesEngine.name(), &stage.engine()?);
        }
        if !parts.contains(&Part::KubernetesScenarios) {
            return Ok(());
        }
        self.tests(&Part::KubernetesScenarios.name(), &stage.scenarios(None)?);
        stage.remove_platforms()
    }

    /// Runs tests and counts them.
    fn tests(&mut self, name: &str, run: &TestRun) {
        let mut results = Results::default();
        let ended = self.run(name, || run.run(&mut results));
        self.results.add(results);
        if let Err(error) = ended {
            println!("{error:#}");
            self.failed.push(format!("{error:#}"));
        }
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

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        test: Test,
    }

    fn parts(line: &str) -> Result<Vec<Part>, String> {
        let words = std::iter::once("test").chain(line.split_whitespace());
        let line = Line::try_parse_from(words).map_err(|error| error.to_string())?;
        line.test.parts().map_err(|error| error.to_string())
    }

    #[test]
    fn only_the_named_parts_run_in_the_order_of_a_whole_run() {
        assert_eq!(parts("--only scenarios,format"), Ok(vec![Part::Format, Part::Scenarios]));
        assert_eq!(parts("--package engine"), Ok(vec![Part::Clippy, Part::Tests]));
        assert_eq!(parts("--package engine --only tests"), Ok(vec![Part::Tests]));
        assert_eq!(parts("").map(|all| all.len()), Ok(Part::value_variants().len()));
        let here = parts("--without-kubernetes").expect("a line");
        assert_eq!(here.last(), Some(&Part::Dependencies));
    }

    #[test]
    fn an_unknown_part_is_answered_with_the_known_ones() {
        let unknown = parts("--only scenario").expect_err("there is none");
        let whole = parts("--package engine --only fuzz").expect_err("it is for all");
        let package = parts("--package engin").expect_err("there is none");

        assert!(unknown.contains("format, clippy, tests, h2spec, postgresql, scenarios, fuzz"), "{unknown}");
        assert_eq!(whole, "--only fuzz: with --package expected one of clippy, tests");
        assert!(package.starts_with("--package engin: expected one of "), "{package}");
        assert!(package.contains("engine, ") && package.contains("workflow"), "{package}");
    }
}
