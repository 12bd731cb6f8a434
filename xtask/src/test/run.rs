//! Test programs of one stage: cargo builds them, then some run at once; the output of each stays in one piece.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use cluster::Cluster;

use super::results::{Counts, Failures, Results};
use crate::{paths, progress};

/// Longest time of one test program, after which it counts as hanging.
const PROGRAM_MAX: Duration = Duration::from_secs(40 * 60);
/// Most failed tests of a program that run again: more of them are not flaky.
const AGAIN_MAX: usize = 5;
/// Option of libtest for whole names of tests; it may be given only once.
const EXACT: &str = "--exact";
/// Interval of checks for the end of a test program.
const PAUSE: Duration = Duration::from_millis(50);

/// Selection of cargo, and how the test programs run.
pub struct TestRun {
    /// Packages, targets and features: arguments of cargo.
    selection: Vec<String>,
    /// Arguments of each test program.
    arguments: Vec<String>,
    env: BTreeMap<OsString, OsString>,
    /// Cluster in whose network they run; `None` for the machine's.
    cluster: Option<Cluster>,
    at_once: usize,
}

/// A test program that cargo built.
struct Program {
    executable: PathBuf,
    /// Folder of its package, in which tests run.
    folder: PathBuf,
    title: String,
}

impl TestRun {
    /// A run on this machine, one program after another.
    pub fn new(selection: &[&str]) -> Self {
        let selection = selection.iter().map(|word| (*word).to_owned()).collect();
        Self { selection, arguments: Vec::new(), env: BTreeMap::new(), cluster: None, at_once: 1 }
    }

    /// A run inside the network of a cluster.
    pub fn on(cluster: &Cluster, selection: &[&str]) -> Self {
        Self { cluster: Some(cluster.clone()), ..Self::new(selection) }
    }

    pub fn selecting(mut self, selection: &[&str]) -> Self {
        self.selection.extend(selection.iter().map(|word| (*word).to_owned()));
        self
    }

    pub fn arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(|word| (*word).to_owned()));
        self
    }

    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.insert(name.as_ref().to_owned(), value.as_ref().to_owned());
        self
    }

    /// Sets the number of programs that run at the same time.
    pub fn at_once(mut self, at_once: usize) -> Self {
        self.at_once = at_once;
        self
    }

    /// The whole run as one command, which shows its output as it comes.
    pub fn command(&self) -> anyhow::Result<Command> {
        let mut command = self.inside(&paths::cargo())?;
        command.current_dir(paths::checkout()).arg("test").args(&self.selection);
        command.args(["--locked", "--no-fail-fast", "--"]).args(&self.arguments);
        Ok(command)
    }

    /// Builds the programs and runs them. Failed tests run once more, alone.
    ///
    /// # Errors
    ///
    /// When tests failed twice, or a program did not end as test programs do.
    pub fn run(&self, results: &mut Results) -> anyhow::Result<()> {
        let programs = self.build()?;
        ensure!(!programs.is_empty(), "there is no test program among {:?}", self.selection);
        let outputs = paths::target().join("test-output");
        std::fs::create_dir_all(&outputs).with_context(|| format!("cannot make {}", outputs.display()))?;
        let next = AtomicUsize::new(0);
        let ended = Mutex::new((Counts::default(), Vec::new()));
        std::thread::scope(|scope| {
            for worker in 0..self.at_once {
                let (programs, next, ended) = (&programs, &next, &ended);
                let output = outputs.join(worker.to_string());
                scope.spawn(move || {
                    while let Some(program) = programs.get(next.fetch_add(1, Ordering::Relaxed)) {
                        println!("     Running {}", program.title);
                        let begun = Instant::now();
                        let (said, done) = self.run_one(program, &[], &output);
                        // Held while it prints: the output of each stays in one piece.
                        let mut ended = ended.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                        println!("\n     Ended {} ({})", program.title, progress::seconds(begun.elapsed()));
                        print!("{said}");
                        if let Err(error) = &done {
                            println!("{}: {error:#}", program.title);
                        }
                        ended.0.add(Counts::of_output(&said));
                        ended.1.extend(done.is_err().then_some((program, said)));
                    }
                });
            }
        });
        let (all, failed) = ended.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        results.counts.add(all);
        let mut titles = Vec::new();
        for (program, said) in failed {
            let failures = Failures::of_output(&program.title, &said);
            if self.pass_alone(program, &failures, &outputs.join("again")) {
                let count = failures.tests.len() as u64;
                results.counts.failed -= count;
                results.counts.passed += count;
                results.flaky.push(failures);
            } else {
                titles.push(program.title.as_str());
                results.failed.push(failures);
            }
        }
        ensure!(titles.is_empty(), "{} tests failed, in {}", results.counts.failed, titles.join(", "));
        Ok(())
    }

    /// Returns true if the failed tests of a program pass when nothing else runs.
    fn pass_alone(&self, program: &Program, failures: &Failures, output: &Path) -> bool {
        if failures.tests.is_empty() || failures.tests.len() > AGAIN_MAX {
            return false;
        }
        println!("     Running again: {}", failures.tests.join(", "));
        let (said, done) = self.run_one(program, &failures.tests, output);
        print!("{said}");
        done.is_ok() && Counts::of_output(&said).passed == failures.tests.len() as u64
    }

    fn build(&self) -> anyhow::Result<Vec<Program>> {
        let mut build = Command::new(paths::cargo());
        build.current_dir(paths::checkout()).arg("test").args(&self.selection).arg("--locked");
        build.args(["--no-run", "--message-format=json-render-diagnostics"]);
        build.envs(&self.env).stderr(Stdio::inherit());
        let output = build.stdin(Stdio::null()).output().context("cannot run cargo")?;
        ensure!(output.status.success(), "`{}` failed ({})", progress::shown(&build), output.status);
        let messages = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(messages.lines().filter_map(Program::of).collect())
    }

    /// Runs all tests of a program, or the named ones; returns its output and its exit.
    fn run_one(&self, program: &Program, only: &[String], output: &Path) -> (String, anyhow::Result<()>) {
        let done = self.run_into(program, only, output);
        let said = std::fs::read(output).unwrap_or_default();
        (String::from_utf8_lossy(&said).into_owned(), done)
    }

    fn run_into(&self, program: &Program, only: &[String], output: &Path) -> anyhow::Result<()> {
        let file = File::create(output).with_context(|| format!("cannot write {}", output.display()))?;
        let mut command = self.inside(&program.executable)?;
        command.args(&self.arguments).current_dir(&program.folder).stdin(Stdio::null());
        if !only.is_empty() {
            command.args(only).args((!self.arguments.iter().any(|word| word == EXACT)).then_some(EXACT));
        }
        // Variables that cargo would set.
        command.env("CARGO_MANIFEST_DIR", &program.folder);
        // A process group, so that a program that hangs ends with its children.
        command.stdout(file.try_clone().context("a second handle")?).stderr(file).process_group(0);
        let mut child = command.spawn().context("cannot start it")?;
        wait(&mut child, PROGRAM_MAX)
    }

    fn inside(&self, program: &Path) -> anyhow::Result<Command> {
        let mut command = match &self.cluster {
            Some(cluster) => cluster.command(program)?,
            None => Command::new(program),
        };
        command.envs(&self.env);
        Ok(command)
    }
}

/// Waits only for the process: a child that it has left behind may hold its output open for ever.
fn wait(child: &mut Child, limit: Duration) -> anyhow::Result<()> {
    let deadline = Instant::now() + limit;
    loop {
        match child.try_wait()? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => bail!("{status}"),
            None if Instant::now() < deadline => std::thread::sleep(PAUSE),
            None => {
                let group = format!("-{}", child.id());
                progress::succeeds(Command::new("kill").args(["-KILL", "--", &group]));
                child.wait()?;
                bail!("stopped after {} s: a test hangs", limit.as_secs());
            }
        }
    }
}

impl Program {
    /// Reads a message of cargo about a test program.
    fn of(message: &str) -> Option<Self> {
        let message: serde_json::Value = serde_json::from_str(message).ok()?;
        if !message["profile"]["test"].as_bool()? {
            return None;
        }
        let folder = Path::new(message["manifest_path"].as_str()?).parent()?.to_owned();
        let source = Path::new(message["target"]["src_path"].as_str()?);
        let source = source.strip_prefix(paths::checkout()).unwrap_or(source);
        let executable = PathBuf::from(message["executable"].as_str()?);
        Some(Self { executable, folder, title: source.display().to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_program_is_seen_though_something_holds_its_output_open() {
        let mut shell = Command::new("sh");
        shell.args(["-c", "sleep 1000 & exit 3"]).stdout(Stdio::piped()).process_group(0);
        let mut child = shell.spawn().expect("a shell");

        let ended = wait(&mut child, Duration::from_secs(60));

        assert_eq!(ended.expect_err("it fails").to_string(), "exit status: 3");
        progress::succeeds(Command::new("kill").args(["-KILL", "--", &format!("-{}", child.id())]));
    }

    #[test]
    fn a_program_that_hangs_is_stopped() {
        let mut child =
            Command::new("sh").args(["-c", "sleep 1000"]).process_group(0).spawn().expect("a shell");

        let ended = wait(&mut child, Duration::from_millis(200));

        assert!(ended.expect_err("it hangs").to_string().contains("a test hangs"));
    }

    /// A program that passes only the test `one`, selected by its whole name.
    fn program(folder: &Path) -> Program {
        use std::os::unix::fs::PermissionsExt as _;
        let executable = folder.join("it");
        let script = "#!/bin/sh\nif [ \"$*\" = 'one --exact' ]; then\n\
            echo 'test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured'\nelse exit 101; fi\n";
        std::fs::write(&executable, script).expect("a folder of the test");
        std::fs::set_permissions(&executable, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
        Program { executable, folder: folder.to_owned(), title: "it.rs".to_owned() }
    }

    #[test]
    fn a_few_failed_tests_run_again_alone_and_many_do_not() {
        let folder = std::env::temp_dir().join(format!("workflow-test-run-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let program = program(&folder);
        let run = TestRun::new(&[]);
        let again = |tests: &[&str]| {
            let tests = tests.iter().map(|test| (*test).to_owned()).collect();
            let failures = Failures { program: String::new(), tests, output: String::new() };
            run.pass_alone(&program, &failures, &folder.join("output"))
        };

        assert!(again(&["one"]));
        assert!(!again(&["two"]));
        assert!(!again(&[]));
        assert!(!again(&["one"; AGAIN_MAX + 1]));
        std::fs::remove_dir_all(&folder).expect("it is ours");
    }

    #[test]
    fn of_cargos_messages_those_about_test_programs_are_taken() {
        let message = |test: bool| {
            serde_json::json!({
                "manifest_path": "/a/crates/one/Cargo.toml",
                "target": { "src_path": "/a/crates/one/tests/it.rs" },
                "profile": { "test": test },
                "executable": "/t/it-1",
            })
            .to_string()
        };

        let program = Program::of(&message(true)).expect("a test program");

        assert_eq!((program.executable, program.folder), ("/t/it-1".into(), "/a/crates/one".into()));
        assert_eq!(program.title, "/a/crates/one/tests/it.rs");
        assert!(Program::of(&message(false)).is_none());
        assert!(Program::of("no message").is_none());
    }
}
