//! The image's `git`, run so that nothing but what is said here reaches it, for no longer than there is time.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Read};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use source::submodules::{Gitlink, Gitmodules, SUBMODULES_MAX};

/// Variables of the sandbox that git needs: programs, authorities, proxies (curl reads the last two in both
/// cases).
const KEPT_VARIABLES: &[&str] = &[
    "PATH",
    "GIT_SSL_CAINFO",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "http_proxy",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
];
/// No hook, no program that knows passwords, nothing in the background; packs stay packs, so that the bound of a file's
/// size bounds them; a server that sends less than 1 KB a second for half a minute is given up.
const CONFIGURATION: &[&str] = &[
    "core.hooksPath=/dev/null",
    "core.askPass=",
    "credential.helper=",
    "fetch.unpackLimit=1",
    "gc.auto=0",
    "maintenance.auto=false",
    "http.lowSpeedLimit=1000",
    "http.lowSpeedTime=30",
];
/// Bytes read of git's output, and shown of it.
const SAID_BYTES_MAX: u64 = 16 << 10;
const REASON_LINES: usize = 3;
/// A `.gitmodules`, as git prints it.
const MODULES_BYTES_MAX: u64 = 1 << 20;
/// Entries of a submodule's tree, and bytes of one.
const ENTRIES_MAX: usize = 500_000;
const ENTRY_BYTES_MAX: u64 = 8 << 10;

/// A submodule that was not fetched; whole sentences for the pusher.
#[derive(Debug)]
pub enum GitError {
    /// Last output of git.
    Said(String),
    Late {
        seconds: u64,
    },
    Large {
        bytes_max: u64,
    },
    NoCommit {
        commit: String,
    },
    Io(io::Error),
}

impl std::fmt::Display for GitError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Said(text) => f.write_str(text),
            Self::Late { seconds } => write!(f, "all submodules together took longer than {seconds} seconds"),
            Self::Large { bytes_max } => {
                write!(f, "all submodules together are larger than {} MiB", bytes_max >> 20)
            }
            Self::NoCommit { commit } => {
                write!(f, "there is no commit {commit} in its branches and tags; push it there first")
            }
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl From<io::Error> for GitError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Invocation of git for all submodules of a source.
pub struct Git<'a> {
    scratch: &'a Path,
    until: Instant,
    seconds_max: u64,
    bytes_max: u64,
    left_bytes: u64,
}

impl<'a> Git<'a> {
    pub fn new(scratch: &'a Path, bytes_max: u64, seconds_max: u64) -> Self {
        let until = Instant::now() + Duration::from_secs(seconds_max);
        Self { scratch, until, seconds_max, bytes_max, left_bytes: bytes_max }
    }

    /// Fetches a commit into a repository of its own: that commit alone where the server gives it, else all branches and
    /// tags.
    pub fn fetch(&mut self, url: &str, commit: &str) -> Result<PathBuf, GitError> {
        let repository = self.scratch.join("repository.git");
        if repository.exists() {
            fs::remove_dir_all(&repository)?;
        }
        fs::create_dir(&repository)?;
        self.done(&repository, &["init", "--quiet", "--bare", "--template="])?;
        let plain = ["fetch", "--quiet", "--no-tags", "--no-recurse-submodules"];
        let alone = self.done(&repository, &[&plain[..], &["--depth=1", "--", url, commit]].concat());
        match alone {
            Err(GitError::Said(_)) => {
                let all = ["--", url, "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"];
                self.done(&repository, &[&plain[..], &all].concat())?;
            }
            fetched => fetched?,
        }
        let asked = format!("{commit}^{{commit}}");
        match self.done(&repository, &["cat-file", "-e", &asked]) {
            Err(GitError::Said(_)) => return Err(GitError::NoCommit { commit: commit.to_owned() }),
            known => known?,
        }
        self.left_bytes = self.left_bytes.saturating_sub(packed_bytes(&repository)?);
        Ok(repository)
    }

    /// Hands the files of a commit on as an archive.
    pub fn archive(
        &self,
        repository: &Path,
        commit: &str,
        take: impl FnOnce(&mut dyn Read) -> io::Result<()>,
    ) -> Result<(), GitError> {
        self.run(repository, &["archive", "--format=tar", commit], |output| {
            take(output)?;
            // Bytes after the end of the archive, read so that git can exit.
            io::copy(output, &mut io::sink()).map(drop)
        })
    }

    /// Submodules within the commit.
    pub fn links(&self, repository: &Path, commit: &str) -> Result<Vec<Gitlink>, GitError> {
        let mut links = Vec::new();
        self.run(repository, &["ls-tree", "-r", "-z", "--full-tree", commit], |output| {
            let mut output = BufReader::new(output);
            let mut entry = Vec::new();
            for _ in 0..ENTRIES_MAX {
                entry.clear();
                if output.by_ref().take(ENTRY_BYTES_MAX).read_until(0, &mut entry)? == 0 {
                    return Ok(());
                }
                links.extend(Gitlink::parse(entry.strip_suffix(b"\0").unwrap_or(&entry)));
                if links.len() > SUBMODULES_MAX {
                    return Err(io::Error::other(format!("it has more than {SUBMODULES_MAX} submodules")));
                }
            }
            Err(io::Error::other(format!("it has more than {ENTRIES_MAX} files")))
        })?;
        Ok(links)
    }

    /// Reads the commit's `.gitmodules`; empty if there is none that git can read.
    pub fn modules(&self, repository: &Path, commit: &str) -> Gitmodules {
        let blob = format!("{commit}:.gitmodules");
        let words = ["config", "--blob", &blob, "--no-includes", "--null", "--list"];
        let mut listed = Vec::new();
        let read = self.run(repository, &words, |output| {
            output.take(MODULES_BYTES_MAX).read_to_end(&mut listed).map(drop)
        });
        if read.is_ok() { Gitmodules::parse(&listed) } else { Gitmodules::default() }
    }

    fn done(&self, repository: &Path, words: &[&str]) -> Result<(), GitError> {
        self.run(repository, words, |output| io::copy(output, &mut io::sink()).map(drop))
    }

    /// Runs git to its end; `take` reads what it prints.
    fn run(
        &self,
        repository: &Path,
        words: &[&str],
        take: impl FnOnce(&mut dyn Read) -> io::Result<()>,
    ) -> Result<(), GitError> {
        let mut git = self.start(repository, words)?;
        let watch = Watch::over(&git, self.until);
        let said = git.stderr.take().map(|stderr| std::thread::spawn(move || words_of(stderr)));
        let taken = git.stdout.take().map_or(Ok(()), |mut output| take(&mut output));
        if taken.is_err() {
            kill_group(&git);
        }
        let status = git.wait()?;
        if watch.ended_it() {
            return Err(GitError::Late { seconds: self.seconds_max });
        }
        let said = said.and_then(|said| said.join().ok()).unwrap_or_default();
        taken?;
        if status.success() {
            return Ok(());
        }
        // SIGXFSZ: a pack beyond the bound of a file's size.
        let is_own = status.signal() == Some(Signal::SIGXFSZ as i32);
        if is_own || said.contains("died of signal 25") || said.contains("File too large") {
            return Err(GitError::Large { bytes_max: self.bytes_max });
        }
        let lines: Vec<_> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        Err(GitError::Said(lines[lines.len().saturating_sub(REASON_LINES)..].join("; ")))
    }

    fn start(&self, repository: &Path, words: &[&str]) -> io::Result<Child> {
        // Sets the bound for what it becomes (prlimit(1)); this process keeps its own.
        let mut git = Command::new("prlimit");
        git.arg(format!("--fsize={}", self.left_bytes)).args(["--core=0", "--", "git"]);
        git.env_clear();
        git.envs(KEPT_VARIABLES.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        git.env("HOME", self.scratch).env("LC_ALL", "C").env("GIT_DIR", repository);
        git.env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_ATTR_NOSYSTEM", "1");
        git.env("GIT_ALLOW_PROTOCOL", "https").env("GIT_TERMINAL_PROMPT", "0");
        git.args(CONFIGURATION.iter().flat_map(|setting| ["-c", setting])).args(words);
        git.current_dir(self.scratch).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Its children end with it.
        git.process_group(0);
        git.spawn()
    }
}

/// The beginning of what a program says; the rest is read too, so that it never waits for a reader.
fn words_of(mut stderr: impl Read) -> String {
    let mut said = Vec::new();
    let _ = stderr.by_ref().take(SAID_BYTES_MAX).read_to_end(&mut said);
    let _ = io::copy(&mut stderr, &mut io::sink());
    String::from_utf8_lossy(&said).into_owned()
}

fn packed_bytes(repository: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(repository.join("objects/pack"))? {
        bytes += entry?.metadata()?.len();
    }
    Ok(bytes)
}

/// Ends a process and what it has started when the time is up.
struct Watch {
    ended: mpsc::Sender<()>,
    watching: JoinHandle<bool>,
}

impl Watch {
    fn over(process: &Child, until: Instant) -> Self {
        let (ended, end) = mpsc::channel();
        let group = group(process);
        let watching = std::thread::spawn(move || {
            let left = until.saturating_duration_since(Instant::now());
            let is_late = end.recv_timeout(left).is_err();
            if is_late {
                let _ = killpg(group, Signal::SIGKILL);
            }
            is_late
        });
        Self { ended, watching }
    }

    fn ended_it(self) -> bool {
        let _ = self.ended.send(());
        self.watching.join().unwrap_or(false)
    }
}

fn group(process: &Child) -> Pid {
    Pid::from_raw(i32::try_from(process.id()).unwrap_or(i32::MAX))
}

fn kill_group(process: &Child) {
    let _ = killpg(group(process), Signal::SIGKILL);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(git: &Git<'_>, words: &[&str]) -> Result<(), GitError> {
        git.done(&git.scratch.join("repository.git"), words)
    }

    #[test]
    fn git_and_what_it_has_started_end_when_the_time_is_up() {
        let scratch = tempfile::tempdir().expect("a folder");
        let git = Git::new(scratch.path(), 1 << 20, 0);

        let late = run(&git, &["-c", "alias.wait=!sleep 600", "wait"]).expect_err("it is late").to_string();

        assert!(late.contains("longer than 0 seconds"), "{late}");
    }

    #[test]
    fn no_file_is_larger_than_what_may_still_be_fetched() {
        let scratch = tempfile::tempdir().expect("a folder");
        let git = Git::new(scratch.path(), 4 << 20, 60);
        let write = |kib: u32| {
            let program = format!("alias.write=!head -c {kib}k /dev/zero >file || kill -XFSZ $$");
            run(&git, &["-c", &program, "write"])
        };

        write(4_096).expect("there is room");
        let large = write(4_097).expect_err("it is too large").to_string();

        assert!(large.contains("larger than 4 MiB"), "{large}");
    }
}
