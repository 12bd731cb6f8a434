//! Running programs of packs and of the app: their output passed on line by line, or caught.

use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use super::output;

/// Longest piece of a line that is passed on at once.
const LINE_BYTES_MAX: u64 = 64 * 1024;

/// Longest wait for output of helpers that a step left running.
const ORPHAN_WAIT: Duration = Duration::from_secs(2);

/// The surroundings of every step.
pub struct StepEnvironment {
    pub app_dir: PathBuf,
    pub build_dir: PathBuf,
    pub request_id: String,
    pub ssh_command: Option<String>,
    /// `export` files of the packs that have run, sourced before whatever comes next.
    pub exports: Vec<PathBuf>,
    /// The app's config, for steps that build: those that only answer a question read `ENV_DIR`.
    pub config: Vec<(String, String)>,
}

impl StepEnvironment {
    /// A command that runs `program` with `arguments` in the build folder.
    pub fn command<'a>(&self, program: &Path, arguments: impl IntoIterator<Item = &'a Path>) -> Command {
        let mut command = self.with_exports(program);
        command.args(arguments);
        self.dress(&mut command);
        command
    }

    /// A command that has the app's config in its environment too, below what a step has by itself.
    pub fn command_with_config<'a>(
        &self,
        program: &Path,
        arguments: impl IntoIterator<Item = &'a Path>,
    ) -> Command {
        let mut command = self.with_exports(program);
        command.args(arguments).envs(self.config.iter().map(|(name, value)| (name, value)));
        self.dress(&mut command);
        command
    }

    /// Gives a command the environment of a step.
    pub fn dress(&self, command: &mut Command) {
        command.current_dir(&self.build_dir).stdin(Stdio::null());
        command.env("APP_DIR", &self.app_dir).env("HOME", &self.app_dir).env("REQUEST_ID", &self.request_id);
        command.env("GIT_TERMINAL_PROMPT", "0");
        if std::env::var_os("STACK").is_none() {
            command.env("STACK", "deis-12");
        }
        if let Some(ssh) = &self.ssh_command {
            command.env("GIT_SSH_COMMAND", ssh);
        }
    }

    /// `export` files are shell, so a shell reads them; the values never enter this process.
    fn with_exports(&self, program: &Path) -> Command {
        const SOURCE_THEN_EXEC: &str =
            r#"left=$1; shift; while ((left-- > 0)); do . "$1" >&2; shift; done; unset left; exec "$@""#;
        if self.exports.is_empty() {
            return Command::new(program);
        }
        let mut command = Command::new("bash");
        command.args(["-c", SOURCE_THEN_EXEC, "exports", &self.exports.len().to_string()]);
        command.args(&self.exports).arg(program);
        command
    }
}

/// Runs a step to its end and passes on its output, stdout and stderr in order of arrival.
pub fn run(mut command: Command) -> io::Result<ExitStatus> {
    let (reader, writer) = io::pipe()?;
    command.stdout(writer.try_clone()?).stderr(writer);
    let mut child = command.spawn()?;
    // The command holds the pipe's writing end; the reader sees the end only when that is gone.
    drop(command);
    let (done, ended) = mpsc::channel();
    std::thread::spawn(move || {
        pass_on_all(reader);
        let _ = done.send(());
    });
    let status = child.wait()?;
    // A daemon that the step left behind may keep the pipe open for good.
    let _ = ended.recv_timeout(ORPHAN_WAIT);
    Ok(status)
}

fn pass_on_all(reader: impl Read) {
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    loop {
        line.clear();
        match reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => output::pass_on(&line),
        }
    }
}

/// Runs a step and returns its stdout, cut at `bytes_max`; its stderr is shown or hidden.
pub fn catch(mut command: Command, bytes_max: u64, show_stderr: bool) -> io::Result<(ExitStatus, String)> {
    command.stdout(Stdio::piped());
    command.stderr(if show_stderr { Stdio::inherit() } else { Stdio::null() });
    let mut child = command.spawn()?;
    let mut caught = Vec::new();
    if let Some(out) = child.stdout.take() {
        out.take(bytes_max).read_to_end(&mut caught)?;
    }
    Ok((child.wait()?, String::from_utf8_lossy(&caught).into_owned()))
}

/// Runs a program and returns its stdout and stderr, cut at `bytes_max`.
pub fn catch_both(mut command: Command, bytes_max: u64) -> io::Result<(ExitStatus, String)> {
    let (reader, writer) = io::pipe()?;
    command.stdout(writer.try_clone()?).stderr(writer);
    let mut child = command.spawn()?;
    drop(command);
    let mut caught = Vec::new();
    reader.take(bytes_max).read_to_end(&mut caught)?;
    Ok((child.wait()?, String::from_utf8_lossy(&caught).into_owned()))
}

/// Exit of a step, in words.
pub fn ending(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with code {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => "ended in an unknown way".to_owned(),
    }
}
