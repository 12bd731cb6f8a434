//! A user at a terminal: a home folder, a profile, an SSH key, and the commands that the user types.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use crate::on_terminal::OnTerminal;
use crate::platform::{Platform, program};
use crate::{checkout, wait_until_blocking};

/// Output of a command, and its exit code.
#[derive(Debug, Clone)]
pub struct CommandOutput {
    pub code: Option<i32>,
    pub stdout: String,
    /// stdout as bytes.
    pub stdout_bytes: Vec<u8>,
    pub stderr: String,
}

impl CommandOutput {
    pub(crate) fn of(output: &Output) -> Self {
        Self {
            code: output.status.code(),
            stdout_bytes: output.stdout.clone(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Both streams as one text.
    pub fn all(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    /// Panics unless the command succeeded.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Panics unless the command failed with this code and printed this text.
    #[track_caller]
    pub fn fails(self, code: i32, text: &str) -> Self {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        assert!(self.all().contains(text), "{text:?} is missing in:\n{}", self.all());
        self
    }
}

pub struct User<'a> {
    platform: &'a Platform,
    pub name: String,
    home: PathBuf,
}

impl<'a> User<'a> {
    pub(crate) fn new(platform: &'a Platform, name: &str, home: PathBuf) -> Self {
        std::fs::create_dir_all(home.join(".ssh")).expect("a home folder");
        let user = Self { platform, name: name.to_owned(), home };
        user.run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-C", name, "-f", ".ssh/id_ed25519"]).ok();
        user
    }

    pub(crate) fn again(platform: &'a Platform, name: &str, home: PathBuf) -> Self {
        assert!(home.is_dir(), "{name} is not here yet");
        Self { platform, name: name.to_owned(), home }
    }

    pub fn register(&self, more: &[&str]) -> CommandOutput {
        let name = format!("--username={}", self.name);
        let email = format!("--email={}@example.com", self.name);
        let fixed = ["register", &self.platform.url(), &name, "--password=correct horse", &email];
        self.deis(&[&fixed[..], more].concat())
    }

    pub fn login(&self) -> CommandOutput {
        let name = format!("--username={}", self.name);
        self.deis(&["login", &self.platform.url(), &name, "--password=correct horse"])
    }

    pub fn add_key(&self) {
        let key = self.home.join(".ssh/id_ed25519.pub").display().to_string();
        self.deis(&["keys:add", &self.name, &key]).ok();
    }

    /// `deis` in the home folder.
    pub fn deis(&self, arguments: &[&str]) -> CommandOutput {
        self.deis_in(&self.home, arguments)
    }

    pub fn deis_in(&self, folder: &Path, arguments: &[&str]) -> CommandOutput {
        self.said(program("DEIS_BIN", "deis").as_os_str().to_str().expect("a UTF-8 path"), folder, arguments)
    }

    /// Starts a `deis` that the scenario does not wait for.
    pub fn deis_in_background(&self, arguments: &[&str]) -> Child {
        let deis = program("DEIS_BIN", "deis");
        self.command(deis.to_str().expect("a UTF-8 path"), &self.home, arguments)
            .spawn()
            .expect("deis starts")
    }

    /// Starts `deis` on a terminal of its own.
    pub fn deis_on_terminal(&self, folder: &Path, arguments: &[&str]) -> OnTerminal {
        let deis = program("DEIS_BIN", "deis");
        let words = [deis.to_str().expect("a UTF-8 path")].into_iter().chain(arguments.iter().copied());
        let line = words.map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
        // A test run that ignores HUP, to outlive its terminal, must not pass that on.
        let words = ["--default-signal=HUP", "script", "-qfec", &line, "/dev/null"];
        OnTerminal::start(self.command("env", folder, &words))
    }

    /// `deis` with input from a pipe.
    pub fn deis_with_input(&self, folder: &Path, arguments: &[&str], input: &str) -> CommandOutput {
        let deis = program("DEIS_BIN", "deis");
        let mut command = self.command(deis.to_str().expect("a UTF-8 path"), folder, arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("deis starts");
        let mut stdin = child.stdin.take().expect("piped");
        stdin.write_all(input.as_bytes()).expect("it reads");
        drop(stdin);
        CommandOutput::of(&child.wait_with_output().expect("deis ends"))
    }

    /// Any program in the home folder.
    pub fn run(&self, program: &str, arguments: &[&str]) -> CommandOutput {
        self.said(program, &self.home, arguments)
    }

    pub fn git(&self, folder: &Path, arguments: &[&str]) -> CommandOutput {
        self.said("git", folder, arguments)
    }

    /// A repository with a copy of an example, committed, with an app made for it.
    pub fn app_from_example(&self, app: &str, example: &str) -> PathBuf {
        self.app_from_folder(app, &checkout().join("examples").join(example))
    }

    /// A repository with the files of a case in `e2e/cases`, committed, with an app made for it.
    pub fn app_from_case(&self, app: &str, case: &str) -> PathBuf {
        self.app_from_folder(app, &checkout().join("e2e/cases").join(case))
    }

    pub(crate) fn app_from_folder(&self, app: &str, from: &Path) -> PathBuf {
        let folder = self.repository(app);
        self.copy_into(&folder, from);
        self.commit(&folder, "first");
        self.deis_in(&folder, &["create", app]).ok();
        folder
    }

    pub(crate) fn copy_into(&self, folder: &Path, from: &Path) {
        let from = from.join(".");
        let words = ["--recursive", "--preserve=mode", from.to_str().expect("UTF-8")];
        self.run("cp", &[&words[..], &[folder.to_str().expect("UTF-8")]].concat()).ok();
    }

    /// Replaces the files of a repository by those of a case; its app keeps its cache.
    pub fn replace_with_case(&self, folder: &Path, case: &str) {
        self.git(folder, &["rm", "-r", "--quiet", "."]).ok();
        self.add_case(folder, case);
        self.commit(folder, case);
    }

    /// Adds the files of a case to a repository, without a commit.
    pub fn add_case(&self, folder: &Path, case: &str) {
        self.copy_into(folder, &checkout().join("e2e/cases").join(case));
    }

    /// A repository with these files, committed, with an app of that name made for it.
    pub fn app_from_files(&self, app: &str, files: &[(&str, &str)]) -> PathBuf {
        let folder = self.repository(app);
        write_files(&folder, files);
        self.commit(&folder, "first");
        self.deis_in(&folder, &["create", app]).ok();
        folder
    }

    /// An empty repository in the home folder.
    pub fn repository(&self, name: &str) -> PathBuf {
        let folder = self.home.join(name);
        std::fs::create_dir_all(&folder).expect("a folder");
        self.git(&folder, &["init", "--quiet", "--initial-branch=master"]).ok();
        folder
    }

    /// Writes files and commits all changes.
    pub fn change(&self, folder: &Path, files: &[(&str, &str)]) {
        write_files(folder, files);
        self.commit(folder, "change");
    }

    pub fn commit(&self, folder: &Path, message: &str) {
        self.git(folder, &["add", "--all"]).ok();
        self.git(folder, &["commit", "--quiet", "--allow-empty", "--message", message]).ok();
    }

    /// `git push deis master`.
    pub fn push(&self, folder: &Path) -> CommandOutput {
        self.git(folder, &["push", "deis", "master"])
    }

    /// Starts a push and returns it as soon as it has printed `text`.
    pub fn push_until(&self, folder: &Path, text: &str) -> Child {
        let log = folder.with_extension("push.log");
        let file = std::fs::File::create(&log).expect("a log file");
        let mut command = self.command("git", folder, &["push", "deis", "master"]);
        let child =
            command.stdout(file.try_clone().expect("a handle")).stderr(file).spawn().expect("git starts");
        wait_until_blocking(text, std::time::Duration::from_secs(120), || {
            std::fs::read_to_string(&log).ok().filter(|said| said.contains(text))
        });
        child
    }

    fn said(&self, program: &str, folder: &Path, arguments: &[&str]) -> CommandOutput {
        let output = self
            .command(program, folder, arguments)
            .output()
            .unwrap_or_else(|error| panic!("{program}: {error}"));
        CommandOutput::of(&output)
    }

    fn command(&self, program: &str, folder: &Path, arguments: &[&str]) -> Command {
        let ssh = format!(
            "ssh -i {0}/id_ed25519 -o IdentitiesOnly=yes -o UserKnownHostsFile={0}/known_hosts \
             -o StrictHostKeyChecking=accept-new -p {1}",
            self.home.join(".ssh").display(),
            self.platform.ssh_port,
        );
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::null())
            .env_remove("DEIS_PROFILE")
            .env("HOME", &self.home)
            .env("GIT_SSH_COMMAND", ssh)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_AUTHOR_NAME", &self.name)
            .env("GIT_AUTHOR_EMAIL", "user@example.com")
            .env("GIT_COMMITTER_NAME", &self.name)
            .env("GIT_COMMITTER_EMAIL", "user@example.com");
        command
    }
}

fn write_files(folder: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().expect("below the folder")).expect("a folder");
        std::fs::write(&path, text).expect("a file");
        if text.starts_with("#!") {
            use std::os::unix::fs::PermissionsExt as _;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("a mode");
        }
    }
}
