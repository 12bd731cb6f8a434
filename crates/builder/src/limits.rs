//! Limits of a git process: memory, processor time, size of files, open files. They hold for what it starts, too.
//!
//! They are set on the process that was just started, before it gets any input of a client: git does nothing
//! until then that they would bound. No privilege is needed to lower limits of a process of our own
//! (prlimit(2)). The number of processes is bounded by the number of commands: each starts a handful, and the
//! system's limit of processes (`RLIMIT_NPROC`) does not hold for root.

use std::io;
use std::process::{ExitStatus, Output, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

use crate::BuilderSettings;

/// Largest output of git that is kept in memory.
const OUTPUT_BYTES_MAX: u64 = 8 << 20;
/// Files that a git process may have open: packs, mostly.
const OPEN_FILES_MAX: u64 = 1_024;
/// Room in a file for what git adds to a pack: objects that the client left out.
const FILE_SLACK_BYTES: u64 = 64 << 20;

/// Time between the warning signal and the kill after the processor time is used up.
const CPU_GRACE_SECONDS: u64 = 5;

/// Purpose of a git process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GitTask {
    /// Takes a push in.
    Receive,
    /// Serves a fetch.
    Serve,
    /// Answers a question, writes an archive.
    Read,
    /// Packs a repository, copies one.
    Maintain,
}

/// Limits of one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProcessLimits {
    memory_bytes: u64,
    cpu_seconds: u64,
    /// `None` where the result may be as large as the repository.
    file_bytes: Option<u64>,
}

impl ProcessLimits {
    pub(crate) fn of(work: GitTask, settings: &BuilderSettings) -> Self {
        let cpu_seconds = settings.git_cpu_seconds;
        let (cpu_seconds, file_bytes) = match work {
            GitTask::Receive => (cpu_seconds, Some(2 * settings.push_bytes_max + FILE_SLACK_BYTES)),
            GitTask::Serve | GitTask::Maintain => (2 * cpu_seconds, None),
            GitTask::Read => (cpu_seconds, Some(FILE_SLACK_BYTES)),
        };
        Self { memory_bytes: settings.git_memory_bytes, cpu_seconds, file_bytes }
    }

    #[cfg(target_os = "linux")]
    fn hold_for(self, child: &Child) -> io::Result<()> {
        use rustix::process::{Pid, Resource, Rlimit, prlimit};
        let pid = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let pid = pid.ok_or(io::ErrorKind::NotFound)?;
        let bounds = [
            (Resource::As, Some(self.memory_bytes)),
            (Resource::Cpu, Some(self.cpu_seconds)),
            (Resource::Fsize, self.file_bytes),
            (Resource::Nofile, Some(OPEN_FILES_MAX)),
            (Resource::Core, Some(0)),
        ];
        for (resource, bound) in bounds {
            if bound.is_some() {
                // The limit that the process inherited may be lower already.
                let own = rustix::process::getrlimit(resource).maximum;
                let bound = bound.map(|bound| own.map_or(bound, |own| bound.min(own)));
                // At the hard limit of time a process is killed without a word.
                let grace = if resource == Resource::Cpu { CPU_GRACE_SECONDS } else { 0 };
                let maximum = bound.map(|bound| own.map_or(bound + grace, |own| own.min(bound + grace)));
                prlimit(Some(pid), resource, Rlimit { current: bound, maximum })?;
            }
        }
        Ok(())
    }

    #[cfg(not(target_os = "linux"))]
    fn hold_for(self, _child: &Child) -> io::Result<()> {
        Ok(())
    }
}

/// A git command with its limits.
pub(crate) struct GitCommand {
    pub command: Command,
    pub limits: ProcessLimits,
}

/// A git process; dropping it kills the whole process group.
pub(crate) struct GitProcess {
    child: Child,
    group: Option<Pid>,
}

impl GitCommand {
    pub(crate) fn start(mut self) -> io::Result<GitProcess> {
        let child = self.command.spawn()?;
        let group = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
        let process = GitProcess { child, group };
        self.limits.hold_for(&process.child)?;
        Ok(process)
    }

    /// Runs to the end and returns the output, as far as there is room for it.
    pub(crate) async fn output(mut self, deadline: Duration) -> io::Result<Output> {
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = self.start()?;
        let (stdout, stderr) = (process.stdout(), process.stderr());
        let ended = async {
            let (stdout, stderr) = tokio::join!(read_bounded(stdout), read_bounded(stderr));
            Ok(Output { stdout: stdout?, stderr: stderr?, status: process.wait().await? })
        };
        tokio::time::timeout(deadline, ended).await.map_err(io::Error::other)?
    }
}

/// Processor time in clock ticks of all processes of a group that are there (proc(5), `/proc/PID/stat`).
pub(crate) fn ticks_of_group(group: i32) -> u64 {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let stats = processes.filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
    stats.filter_map(|stat| ticks_in_group(&stat, group)).sum()
}

fn ticks_in_group(stat: &str, group: i32) -> Option<u64> {
    // The name in parentheses may hold anything.
    let fields: Vec<_> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let number = |field: usize| fields.get(field)?.parse::<u64>().ok();
    let is_of_group = fields.get(2)?.parse() == Ok(group);
    is_of_group.then(|| Some(number(11)? + number(12)?)).flatten()
}

impl GitProcess {
    /// The number of its process group.
    pub(crate) fn group(&self) -> Option<i32> {
        self.group.map(Pid::as_raw)
    }

    pub(crate) fn stdin(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    pub(crate) fn stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    pub(crate) fn stderr(&mut self) -> Option<ChildStderr> {
        self.child.stderr.take()
    }

    pub(crate) async fn wait(&mut self) -> io::Result<ExitStatus> {
        let status = self.child.wait().await?;
        // The number may belong to another process from here on.
        self.group = None;
        Ok(status)
    }
}

impl Drop for GitProcess {
    fn drop(&mut self) {
        if let Some(group) = self.group {
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}

async fn read_bounded(from: Option<impl AsyncRead + Unpin>) -> io::Result<Vec<u8>> {
    let Some(from) = from else { return Ok(Vec::new()) };
    let mut bytes = Vec::new();
    from.take(OUTPUT_BYTES_MAX + 1).read_to_end(&mut bytes).await?;
    if bytes.len() as u64 > OUTPUT_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "git printed more than is read of it"));
    }
    Ok(bytes)
}

/// Message for a push for which the disk has no room.
pub(crate) const DISK_FULL: &str =
    "the platform's disk is full, nothing was changed; tell the operator to free space, then push again";

/// Names the limit that stopped git, from its last output; `None` if it was no limit.
pub(crate) fn broken_limit(said: &[u8], settings: &BuilderSettings) -> Option<String> {
    let said = String::from_utf8_lossy(said).to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
    let memory_mib = settings.git_memory_bytes >> 20;
    if has(&["no space left on device"]) {
        Some(DISK_FULL.to_owned())
    } else if has(&[
        "out of memory",
        "malloc failed",
        "mmap failed",
        "realloc failed",
        "cannot allocate memory",
    ]) {
        Some(format!(
            "unpacking the push takes more than {memory_mib} MiB of memory; leave big files out of the repository"
        ))
    } else if has(&["died of signal 24", "signal 24"]) {
        let seconds = settings.git_cpu_seconds;
        Some(format!(
            "unpacking the push takes more than {seconds} seconds of processor time; push a smaller history"
        ))
    } else if has(&["died of signal 25", "signal 25", "file too large"]) {
        Some("the push unpacks to a file larger than the platform takes; leave big files out of the repository".to_owned())
    } else if has(&["died of signal"]) {
        Some(
            "git could not unpack the push within its limits; see the operator's `docs/limits.md`".to_owned(),
        )
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> BuilderSettings {
        BuilderSettings::new("/tmp", "http://127.0.0.1:1", "key", vec!["true".to_owned()])
    }

    #[tokio::test]
    async fn a_process_over_its_memory_fails_and_this_process_keeps_its_own_limits() {
        let mut command = Command::new("sh");
        command
            .args(["-c", "read line; ulimit -v; ulimit -t; ulimit -c"])
            .kill_on_drop(true)
            .process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let limits = ProcessLimits { memory_bytes: 300 << 20, cpu_seconds: 7, file_bytes: Some(1 << 20) };
        let mut process = GitCommand { command, limits }.start().unwrap();

        drop(process.stdin());
        let told = read_bounded(process.stdout()).await.unwrap();

        assert_eq!(String::from_utf8(told).unwrap(), format!("{}\n7\n0\n", (300 << 20) / 1_024));
        assert!(process.wait().await.unwrap().success());
    }

    #[tokio::test]
    async fn what_git_has_started_ends_with_it() {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 600 & echo $!; wait"]).kill_on_drop(true).process_group(0);
        command.stdout(Stdio::piped());
        let limits = ProcessLimits::of(GitTask::Receive, &settings());
        let mut process = GitCommand { command, limits }.start().unwrap();
        let mut pid = [0; 16];
        let length = process.stdout().unwrap().read(&mut pid).await.unwrap();
        let pid: i32 = String::from_utf8_lossy(&pid[..length]).trim().parse().unwrap();

        drop(process);

        let gone = async {
            // It is nobody's child here: it is gone, or waits for init to see its end.
            let is_there = || {
                let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
                !status.is_empty() && !status.contains(") Z ")
            };
            while is_there() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), gone).await.expect("it runs on");
    }

    #[test]
    fn processor_time_is_that_of_the_group() {
        let stat = "4711 (a (b) c) S 1 4711 4711 0 -1 4194560 1 0 0 0 7 5 0 0 20 0 1 0 100 1 1";

        assert_eq!(ticks_in_group(stat, 4711), Some(12));
        assert_eq!(ticks_in_group(stat, 1), None);
        assert_eq!(ticks_in_group("4711 (gone", 4711), None);
    }

    #[test]
    fn the_pusher_is_told_which_limit_was_reached() {
        let told = |said: &str| broken_limit(said.as_bytes(), &settings()).unwrap_or_default();

        assert!(
            told("fatal: Out of memory, malloc failed (tried to allocate 9 bytes)")
                .contains("512 MiB of memory")
        );
        assert!(told("error: index-pack died of signal 24").contains("300 seconds of processor time"));
        assert!(told("error: unpack-objects died of signal 25").contains("larger than the platform takes"));
        assert!(told("error: rev-list died of signal 11").contains("within its limits"));
        assert_eq!(told("unpack ok"), "");
    }
}
