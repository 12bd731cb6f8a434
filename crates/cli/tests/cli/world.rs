//! One user with a home folder, a working folder and a controller of their own.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;
use testkit::{WAIT_MAX, wait_until_blocking};

use crate::controller::Controller;

/// The controller that the user is logged in to; reached through a proxy that the test plays.
pub const URL: &str = "http://deis.example.com";

pub struct World {
    pub controller: Controller,
    home: TempDir,
}

/// Result of a run of the client.
#[derive(Debug)]
pub struct Run {
    pub out: String,
    pub err: String,
    pub code: i32,
}

impl World {
    /// A user without a profile.
    pub fn new() -> Self {
        let world = Self { controller: Controller::start(), home: TempDir::new().unwrap() };
        fs::create_dir(world.folder()).unwrap();
        fs::create_dir(world.path("bin")).unwrap();
        world
    }

    /// Bob, who is logged in.
    pub fn logged_in() -> Self {
        Self::logged_in_at(URL)
    }

    pub fn logged_in_at(controller: &str) -> Self {
        let world = Self::new();
        world.write(
            ".deis/client.json",
            &format!(
                r#"{{"username":"bob","ssl_verify":true,"controller":"{controller}","token":"t0ken","response_limit":0}}"#
            ),
        );
        world
    }

    /// The working folder, whose name is that of an app.
    pub fn folder(&self) -> PathBuf {
        self.path("Blog")
    }

    /// A path in the home folder.
    pub fn path(&self, path: &str) -> PathBuf {
        self.home.path().join(path)
    }

    pub fn write(&self, path: &str, content: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap()
    }

    /// Puts a program in front of `PATH`.
    pub fn write_program(&self, name: &str, script: &str) {
        // Written by another process: while this one forks for other tests, a program that it has open for
        // writing cannot be started.
        let mut command = self.command("sh");
        command.args(["-c", r#"cat > "$0" && chmod +x "$0""#]).arg(self.path("bin").join(name));
        assert_eq!(run(command, &format!("#!/bin/sh\n{script}\n")).code, 0);
    }

    pub fn answer(&self, line: &str, status: u16, body: &str) -> &Self {
        self.controller.answer(line, status, body);
        self
    }

    /// Runs `deis` with the arguments of a line.
    pub fn deis(&self, line: &str) -> Run {
        self.deis_with(&line.split_whitespace().collect::<Vec<_>>(), "")
    }

    /// Runs `deis` with these words and this input in a pipe; without input stdin is `/dev/null`.
    pub fn deis_with(&self, words: &[&str], input: &str) -> Run {
        let mut command = self.command(env!("CARGO_BIN_EXE_deis"));
        command.args(words);
        run(command, input)
    }

    /// Runs `deis` with these words and a last one that may be no text.
    pub fn deis_raw(&self, words: &[&str], last: &OsStr) -> Run {
        let mut command = self.command(env!("CARGO_BIN_EXE_deis"));
        command.args(words).arg(last);
        run(command, "")
    }

    /// Bytes that `deis` writes to stdout.
    pub fn output_of(&self, line: &str) -> Vec<u8> {
        let mut command = self.command(env!("CARGO_BIN_EXE_deis"));
        command.args(line.split_whitespace()).stdin(Stdio::null());
        command.output().unwrap().stdout
    }

    /// Runs `deis` with further environment variables.
    pub fn deis_in(&self, environment: &[(&str, &str)], line: &str) -> Run {
        let mut command = self.command(env!("CARGO_BIN_EXE_deis"));
        command.args(line.split_whitespace()).envs(environment.iter().copied());
        run(command, "")
    }

    /// Runs a line of shell with `deis` in it on a terminal of its own and types `input`.
    pub fn on_terminal(&self, line: &str, input: &str) -> Run {
        run(self.terminal(line), input)
    }

    /// Like [`World::on_terminal`], but each line is typed when the terminal has stopped to echo.
    pub fn on_silent_terminal(&self, line: &str, input: &[&str]) -> Run {
        let mut command = self.terminal(&format!("tty; {line}"));
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut terminal = String::new();
        out.read_line(&mut terminal).unwrap();
        let mut shown = String::new();
        for line in input {
            shown.push_str(&read_until(&mut out, ": "));
            wait_until_silent(terminal.trim());
            child.stdin.as_mut().unwrap().write_all(format!("{line}\n").as_bytes()).unwrap();
        }
        out.read_to_string(&mut shown).unwrap();
        let code = child.wait().unwrap().code().unwrap_or(-1);
        Run { out: shown, err: String::new(), code }
    }

    fn terminal(&self, line: &str) -> Command {
        let mut command = self.command("script");
        let line = line.replace("deis ", &format!("{} ", env!("CARGO_BIN_EXE_deis")));
        command.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
        command
    }

    pub fn git(&self, line: &str) -> Run {
        let mut command = self.command("git");
        command.args(line.split_whitespace());
        run(command, "")
    }

    /// The requests since the last call, each as `METHOD PATH BODY`.
    pub fn requests(&self) -> Vec<String> {
        let requests = self.controller.take_requests().into_iter();
        requests.map(|request| format!("{} {}", request.line, request.body).trim_end().to_owned()).collect()
    }

    fn command(&self, program: &str) -> Command {
        let path = format!("{}:{}", self.path("bin").display(), std::env::var("PATH").unwrap());
        let proxy = format!("http://{}", self.controller.address);
        let mut command = Command::new(program);
        command
            .current_dir(self.folder())
            .env_clear()
            .env("PATH", path)
            .env("HOME", self.home.path())
            .env("http_proxy", proxy)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CEILING_DIRECTORIES", Path::new("/"))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }
}

/// What comes from now on, up to the next such end.
fn read_until(out: &mut impl Read, end: &str) -> String {
    let (mut shown, mut byte) = (String::new(), [0]);
    while !shown.ends_with(end) && out.read(&mut byte).unwrap() == 1 {
        shown.push(char::from(byte[0]));
    }
    shown
}

/// Waits until a terminal does not echo its input.
fn wait_until_silent(terminal: &str) {
    wait_until_blocking(&format!("{terminal} echoes nothing"), WAIT_MAX, || {
        let output = Command::new("stty").args(["-a", "-F", terminal]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).split_whitespace().any(|setting| setting == "-echo")
    });
}

fn run(mut command: Command, input: &str) -> Run {
    command.stdin(if input.is_empty() { Stdio::null() } else { Stdio::piped() });
    let mut child = command.spawn().unwrap();
    if let Some(mut stdin) = child.stdin.take() {
        // A client that ends without reading its input does not matter.
        stdin.write_all(input.as_bytes()).ok();
    }
    let Output { stdout, stderr, status } = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Run { out: text(stdout), err: text(stderr), code: status.code().unwrap_or(-1) }
}

impl Run {
    /// Asserts success and everything that was printed.
    #[track_caller]
    pub fn says(&self, out: &str) {
        assert_eq!((self.out.as_str(), self.err.as_str(), self.code), (out, "", 0));
    }

    /// Asserts success and what was printed to stdout and stderr.
    #[track_caller]
    pub fn prints(&self, out: &str, err: &str) {
        assert_eq!((self.out.as_str(), self.err.as_str(), self.code), (out, err, 0));
    }

    /// Asserts exit code 1 and everything on stderr.
    #[track_caller]
    pub fn fails_with(&self, err: &str) {
        assert_eq!((self.err.as_str(), self.code), (err, 1), "stdout: {}", self.out);
    }
}
