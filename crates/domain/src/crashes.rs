//! Crashes: unrequested exits of processes, their wording, and the rate at which they are logged.
//!
//! A process that crashes repeatedly is logged at growing intervals, each time with the number of crashes since
//! the last line, so that its own output is not pushed out of the log.

use std::collections::BTreeMap;
use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::names::{AppName, ProcessType};
use crate::times::second;

/// Bounds of the pause between two lines about one process type of a release; it doubles with each line.
const PAUSE_MIN: SignedDuration = SignedDuration::from_secs(2);
const PAUSE_MAX: SignedDuration = SignedDuration::from_mins(30);
/// Time without a crash after which the next one is logged like the first.
const QUIET: SignedDuration = SignedDuration::from_hours(1);
/// Exit codes above this are of processes that a signal ended.
const SIGNAL_BASE: i64 = 128;
const SIGNAL_MAX: i64 = 64;
/// Signals that end processes, by number as on Linux.
const SIGNALS: [(i64, &str); 15] = [
    (1, "SIGHUP"),
    (2, "SIGINT"),
    (3, "SIGQUIT"),
    (4, "SIGILL"),
    (5, "SIGTRAP"),
    (6, "SIGABRT"),
    (7, "SIGBUS"),
    (8, "SIGFPE"),
    (9, "SIGKILL"),
    (11, "SIGSEGV"),
    (13, "SIGPIPE"),
    (14, "SIGALRM"),
    (15, "SIGTERM"),
    (24, "SIGXCPU"),
    (31, "SIGSYS"),
];

/// Exit of a process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// 128 and the signal's number where a signal ended it.
    pub code: i64,
    /// It was killed because it needed more memory than it may have.
    pub is_out_of_memory: bool,
}

impl Exit {
    /// Number of the signal that ended the process, if one did.
    pub fn signal(self) -> Option<i64> {
        let number = self.code - SIGNAL_BASE;
        (1..=SIGNAL_MAX).contains(&number).then_some(number)
    }
}

/// `exit code 3`, `exit code 139, signal 11 (SIGSEGV)`, `out of memory`.
impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_out_of_memory {
            return f.write_str("out of memory");
        }
        write!(f, "exit code {}", self.code)?;
        let Some(number) = self.signal() else { return Ok(()) };
        write!(f, ", signal {number}")?;
        let name = SIGNALS.iter().find(|(signal, _)| *signal == number);
        name.map_or(Ok(()), |(_, name)| write!(f, " ({name})"))
    }
}

/// Explains the cause of a crash and its remedy, in the words of the log and of a failed deploy.
pub fn cause(process: &ProcessType, exit: Exit, memory_limit_bytes: Option<u64>) -> String {
    match (exit.is_out_of_memory, memory_limit_bytes) {
        (true, Some(bytes)) => format!(
            "killed because it needed more than its memory limit of {} MB; raise it with `deis limits:set \
             {process}=...`, or let it need less",
            bytes >> 20
        ),
        (true, None) => "killed because its node ran out of memory".to_owned(),
        (false, _) => exit.to_string(),
    }
}

/// The crashes of one pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crashes {
    /// The last exit.
    pub exit: Exit,
    pub times: u64,
    /// All crashes came after this time: the first one, or the pod's start where the engine knows no better.
    pub since: Timestamp,
    pub last: Timestamp,
}

impl Crashes {
    /// The crashes of a pod, one more than `before`.
    pub fn after(before: Option<Self>, exit: Exit, at: Timestamp) -> Self {
        match before {
            Some(Self { times, since, .. }) => Self { exit, times: times + 1, since, last: at },
            None => Self { exit, times: 1, since: at, last: at },
        }
    }
}

/// A process that has just ended unasked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crash {
    pub app: AppName,
    pub process: ProcessType,
    pub release: u64,
    /// Name of the pod, whose container is started again.
    pub pod: String,
    pub memory_limit_bytes: Option<u64>,
    /// This crash and those of the pod before it.
    pub crashes: Crashes,
}

/// When to write which line about crashes into apps' logs.
#[derive(Debug, Default)]
pub struct CrashLog {
    /// One for each process type of a release that crashed within [`QUIET`].
    entries: BTreeMap<(AppName, ProcessType, u64), CrashEntry>,
}

#[derive(Debug)]
struct CrashEntry {
    last: Crash,
    times: u64,
    since: Timestamp,
    has_news: bool,
    /// Nothing is logged before this time.
    rests_until: Timestamp,
    pause: SignedDuration,
}

impl CrashLog {
    /// Records a crash, which [`CrashLog::due`] returns when it is to be logged.
    pub fn note(&mut self, crash: Crash) {
        let key = (crash.app.clone(), crash.process.clone(), crash.release);
        let at = crash.crashes.last;
        let known =
            self.entries.remove(&key).filter(|entry| at.duration_since(entry.last.crashes.last) < QUIET);
        let entry = match known {
            Some(entry) => CrashEntry { last: crash, times: entry.times + 1, has_news: true, ..entry },
            None => CrashEntry {
                since: at,
                last: crash,
                times: 1,
                has_news: true,
                rests_until: Timestamp::MIN,
                pause: PAUSE_MIN,
            },
        };
        self.entries.insert(key, entry);
    }

    /// The lines to write at `now`, each with its app. Forgets what has been quiet for long.
    pub fn due(&mut self, now: Timestamp) -> Vec<(AppName, String)> {
        let mut lines = Vec::new();
        for ((app, ..), entry) in &mut self.entries {
            if entry.has_news && entry.rests_until <= now {
                lines.push((app.clone(), entry.line()));
                entry.has_news = false;
                entry.rests_until = now.saturating_add(entry.pause).unwrap_or(Timestamp::MAX);
                entry.pause = (entry.pause + entry.pause).min(PAUSE_MAX);
            }
        }
        self.entries.retain(|_, entry| entry.has_news || now.duration_since(entry.last.crashes.last) < QUIET);
        lines
    }

    /// When the next line is due.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.entries.values().filter(|entry| entry.has_news).map(|entry| entry.rests_until).min()
    }
}

impl CrashEntry {
    fn line(&self) -> String {
        let Crash { process, pod, memory_limit_bytes, crashes, .. } = &self.last;
        let cause = cause(process, crashes.exit, *memory_limit_bytes);
        let often = match self.times {
            1 => String::new(),
            times => format!(" ({process} crashed {times} times since {})", second(self.since)),
        };
        format!("{pod} crashed: {cause}; it is started again{often}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).expect("a near moment")
    }

    fn crash(release: u64, exit: Exit, second: i64) -> Crash {
        Crash {
            app: AppName::parse("blog").expect("a good name"),
            process: ProcessType::web(),
            release,
            pod: "blog-web-7d5f4-aaaaa".to_owned(),
            memory_limit_bytes: Some(64 << 20),
            crashes: Crashes::after(None, exit, at(second)),
        }
    }

    fn code(code: i64) -> Exit {
        Exit { code, is_out_of_memory: false }
    }

    fn lines(log: &mut CrashLog, second: i64) -> Vec<String> {
        log.due(at(second)).into_iter().map(|(_, line)| line).collect()
    }

    #[test]
    fn an_exit_tells_its_code_its_signal_or_that_memory_ran_out() {
        assert_eq!(code(3).to_string(), "exit code 3");
        assert_eq!(code(139).to_string(), "exit code 139, signal 11 (SIGSEGV)");
        assert_eq!(code(128 + 40).to_string(), "exit code 168, signal 40");
        assert_eq!(code(255).to_string(), "exit code 255");
        assert_eq!(code(-1).to_string(), "exit code -1");
        assert_eq!(Exit { code: 137, is_out_of_memory: true }.to_string(), "out of memory");
    }

    #[test]
    fn a_first_crash_is_told_at_once_with_its_cause_and_what_follows() {
        let mut log = CrashLog::default();

        log.note(crash(2, code(3), 0));
        let first = lines(&mut log, 0);
        log.note(crash(3, Exit { code: 137, is_out_of_memory: true }, 1));
        let second = lines(&mut log, 1);

        assert_eq!(first, ["blog-web-7d5f4-aaaaa crashed: exit code 3; it is started again"]);
        assert_eq!(second.len(), 1, "another release begins anew");
        assert!(
            second[0].contains("killed because it needed more than its memory limit of 64 MB"),
            "{second:?}"
        );
        assert!(second[0].ends_with("it is started again"), "{second:?}");
    }

    #[test]
    fn a_crash_loop_is_told_ever_more_seldom_with_how_often_it_crashed() {
        let mut log = CrashLog::default();
        let mut told = Vec::new();
        for second in 0..86_400 {
            log.note(crash(2, code(1), second));
            told.extend(lines(&mut log, second).into_iter().map(|line| (second, line)));
        }

        let times: Vec<_> = told.iter().map(|(second, _)| *second).take(5).collect();
        assert_eq!(times, [0, 2, 6, 14, 30]);
        assert!(told.len() < 60, "{} lines in a day", told.len());
        let second = &told[1].1;
        assert!(second.ends_with("(web crashed 3 times since 2027-01-15T08:00:00Z)"), "{second}");
    }

    #[test]
    fn what_was_held_back_is_told_later_though_no_other_crash_follows() {
        let mut log = CrashLog::default();
        log.note(crash(2, code(1), 0));
        lines(&mut log, 0);
        log.note(crash(2, code(9), 1));

        assert_eq!(lines(&mut log, 1), Vec::<String>::new());
        assert_eq!(log.next_due(), Some(at(2)));
        let told = lines(&mut log, 2);
        assert!(told[0].contains("exit code 9") && told[0].contains("2 times"), "{told:?}");
        assert_eq!((log.next_due(), lines(&mut log, 3)), (None, Vec::new()));
    }

    #[test]
    fn after_a_quiet_hour_a_crash_is_the_first_again_and_nothing_is_kept() {
        let mut log = CrashLog::default();
        log.note(crash(2, code(1), 0));
        lines(&mut log, 0);

        lines(&mut log, 3_600);
        assert!(log.entries.is_empty());
        log.note(crash(2, code(1), 7_200));

        assert_eq!(
            lines(&mut log, 7_200),
            ["blog-web-7d5f4-aaaaa crashed: exit code 1; it is started again"]
        );
    }
}
