//! A developer's environment: a working copy, a key, git and ssh.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::process::{Child, Command};

/// Longest time that one command of a test may take.
const COMMAND_MAX: Duration = Duration::from_secs(60);

/// One developer's working copy; pushes with one key.
pub struct Client {
    pub folder: PathBuf,
    ssh: String,
    pub port: u16,
}

/// Output of a command, both streams together, and its exit.
#[derive(Debug)]
pub struct Printed {
    pub text: String,
    pub code: Option<i32>,
}

impl Client {
    /// An empty repository in `folder`; `key` is the private key's file.
    pub async fn new(folder: PathBuf, key: &Path, port: u16) -> Self {
        std::fs::create_dir_all(&folder).unwrap();
        let known_hosts = folder.with_extension("known_hosts");
        let ssh = format!(
            "ssh -F /dev/null -i {} -o IdentitiesOnly=yes -o IdentityAgent=none -o BatchMode=yes \
             -o StrictHostKeyChecking=accept-new -o UserKnownHostsFile={}",
            key.display(),
            known_hosts.display(),
        );
        let client = Self { folder, ssh, port };
        client.done("git init -q -b main").await;
        client
    }

    pub fn url(&self, app: &str) -> String {
        format!("ssh://git@127.0.0.1:{}/{app}.git", self.port)
    }

    /// Writes files and commits them.
    pub async fn commit(&self, files: &[(&str, &str)]) -> String {
        for (name, text) in files {
            let path = self.folder.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        self.done("git add -A").await;
        self.done("git commit -q --allow-empty -m change").await;
        self.done("git rev-parse HEAD").await.trim().to_owned()
    }

    /// Pushes `what`, such as `main` or `--force HEAD:other`.
    pub async fn push(&self, app: &str, what: &str) -> Printed {
        self.run(&format!("git push {} {what}", self.url(app))).await
    }

    /// Begins a push without waiting for it.
    pub fn begin_push(&self, app: &str, what: &str) -> Child {
        self.command(&format!("git push {} {what}", self.url(app))).spawn().unwrap()
    }

    pub async fn clone_of(&self, app: &str) -> Printed {
        self.run(&format!("git clone {} {app}-clone", self.url(app))).await
    }

    /// Runs ssh itself with what follows the host.
    pub async fn ssh(&self, options: &str, command: &str) -> Printed {
        self.run(&format!("{} -p {} {options} git@127.0.0.1 {command}", self.ssh, self.port)).await
    }

    /// Begins ssh with an input that brings nothing; it ends when the end of the command is waited for.
    pub fn begin_ssh(&self, command: &str) -> Child {
        let text = format!("{} -p {} git@127.0.0.1 {command}", self.ssh, self.port);
        self.command(&text).stdin(Stdio::piped()).spawn().unwrap()
    }

    /// Gives `git receive-pack` these bytes in place of what git would send: one ref and a pack.
    pub async fn push_raw(&self, app: &str, (old, new, name): (&str, &str, &str), pack: &[u8]) -> Printed {
        self.push_raw_lines(app, &[&format!("{old} {new} {name}")], pack).await
    }

    /// The same with several lines, of which those that begin with `shallow` come first.
    pub async fn push_raw_lines(&self, app: &str, lines: &[&str], pack: &[u8]) -> Printed {
        let mut bytes = Vec::new();
        for line in lines {
            let wanted = if line.starts_with("shallow") { "" } else { "\0report-status side-band-64k" };
            bytes.extend(format!("{:04x}{line}{wanted}", line.len() + wanted.len() + 4).into_bytes());
        }
        bytes.extend_from_slice(b"0000");
        bytes.extend_from_slice(pack);
        std::fs::write(self.folder.join("raw"), bytes).unwrap();
        let asked = format!("\"git-receive-pack '{app}.git'\" < raw | tr -d '\\000'");
        self.ssh("", &asked).await
    }

    /// A command that must succeed.
    pub async fn done(&self, command: &str) -> String {
        let printed = self.run(command).await;
        assert_eq!(printed.code, Some(0), "{command}: {}", printed.text);
        printed.text
    }

    pub async fn run(&self, command: &str) -> Printed {
        let child = self.command(command).spawn().unwrap();
        ended(child).await
    }

    fn command(&self, text: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("exec 2>&1; {text}")]).current_dir(&self.folder);
        command.env("GIT_SSH_COMMAND", &self.ssh).env("GIT_CONFIG_NOSYSTEM", "1");
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").env_remove("SSH_AUTH_SOCK");
        for role in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{role}_NAME"), "A").env(format!("GIT_{role}_EMAIL"), "a@example.com");
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true).process_group(0);
        command
    }
}

/// Waits for the end of a command.
pub async fn ended(child: Child) -> Printed {
    let output = tokio::time::timeout(COMMAND_MAX, child.wait_with_output()).await;
    let Output { status, stdout, .. } = output.expect("a command hangs").unwrap();
    Printed { text: String::from_utf8_lossy(&stdout).into_owned(), code: status.code() }
}

impl Printed {
    #[track_caller]
    pub fn shows(&self, texts: &[&str]) -> &Self {
        let mut rest = self.text.as_str();
        for text in texts {
            let at =
                rest.find(text).unwrap_or_else(|| panic!("no `{text}` (in this order) in:\n{}", self.text));
            rest = &rest[at + text.len()..];
        }
        self
    }

    #[track_caller]
    pub fn ended_with(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "{}", self.text);
        self
    }
}
