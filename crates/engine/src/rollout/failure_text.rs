//! Messages for failed rollouts, the same on every engine.

use domain::ProcessType;
use domain::crashes::{self, Exit};
use domain::deployment::{Limits, Workload};

use super::judge::FailureReason;

/// Lines of a replica that failed which are shown to the user.
pub const LINES_SHOWN: usize = 10;
/// Bytes of a failed replica's output that are shown to the user.
pub const SHOWN_BYTES_MAX: usize = 4096;

/// What an engine found out about a replica that failed.
#[derive(Debug, Default)]
pub struct Evidence {
    /// Failure of the user's start hook, where that may be why the replica ended.
    pub hook: Option<String>,
    /// Reason of the last failed readiness check.
    pub miss: Option<String>,
    /// The replica's last lines.
    pub output: Vec<u8>,
}

/// Message for a rollout that was given up, in words for the user.
pub fn told(workload: &Workload, why: &FailureReason, evidence: Evidence) -> String {
    let process = &workload.id.process;
    let Evidence { hook, miss, output } = evidence;
    let reason = match (why, hook) {
        (FailureReason::Reason(reason), _) => return reason.clone(),
        (FailureReason::StartHook(how), _) => format!("{process}: {how}"),
        (FailureReason::Crashed { .. }, Some(hook)) => format!("{process}: {hook}"),
        (FailureReason::Crashed { exit, times }, None) => crashed(process, *exit, &workload.limits, *times),
        (FailureReason::NotReady, _) => {
            let miss = miss.unwrap_or_else(|| "it runs, but its health check does not pass".to_owned());
            not_ready_in_time(process, workload.start_timeout_seconds, &miss)
        }
    };
    with_last_lines(reason, &output)
}

/// Message for a process that exits again and again.
fn crashed(process: &ProcessType, exit: Exit, limits: &Limits, times: u64) -> String {
    let often = if times > 1 { format!(" {times} times in a row") } else { String::new() };
    format!("{process} crashed{often}: {}", crashes::cause(process, exit, limits.memory_limit_bytes))
}

/// Message for a replica that was not ready within its start timeout, in seconds.
pub(super) fn not_ready_in_time(process: &ProcessType, seconds: u32, why: &str) -> String {
    format!("{process} did not become ready within {seconds} s: {why}")
}

/// Message for a tag that no node has.
pub fn no_node_with(name: &str, value: &str) -> String {
    format!("no node has the label {name}={value}; unset the tag or label a node")
}

/// Message for a process that does not listen on its port.
pub fn nothing_listens(port: u16) -> String {
    format!("nothing listens on port {port} (it must listen on 0.0.0.0, not on 127.0.0.1)")
}

/// Message for a start hook that ended with a code other than 0.
pub fn start_hook_failed(code: i64) -> String {
    format!("the postStart hook exited with code {code}")
}

/// A container runtime's message about a program that cannot be started, without its wrapping.
pub fn cannot_start(message: &str) -> String {
    match message.rsplit_once("exec: ") {
        Some((_, cause)) => format!("cannot start {}", cause.trim_end_matches(": unknown")),
        None => message.to_owned(),
    }
}

/// The reason with the last lines of the replica, where it said any.
fn with_last_lines(mut reason: String, output: &[u8]) -> String {
    let output = &output[output.len().saturating_sub(SHOWN_BYTES_MAX)..];
    let text = String::from_utf8_lossy(output);
    let lines: Vec<_> = text.trim_end().lines().map(|line| format!("    {line}")).collect();
    if !lines.is_empty() {
        reason.push_str("; its last lines:\n");
        reason.push_str(&lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n"));
    }
    reason
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_in_a_deploy_tells_its_cause_as_the_log_does_and_how_often() {
        let limits = Limits { memory_limit_bytes: Some(64 << 20), ..Limits::default() };
        let told = |code, is_out_of_memory, times| {
            crashed(&ProcessType::web(), Exit { code, is_out_of_memory }, &limits, times)
        };

        assert_eq!(told(3, false, 1), "web crashed: exit code 3");
        assert_eq!(told(139, false, 3), "web crashed 3 times in a row: exit code 139, signal 11 (SIGSEGV)");
        let memory = told(137, true, 3);
        assert!(
            memory.contains("in a row: killed because it needed more than its memory limit of 64 MB"),
            "{memory}"
        );
    }

    #[test]
    fn a_program_that_is_missing_is_told_without_the_runtimes_frames() {
        let message = "OCI runtime create failed: runc create failed: unable to start container process: \
                       exec: \"nope\": executable file not found in $PATH: unknown";
        assert_eq!(cannot_start(message), "cannot start \"nope\": executable file not found in $PATH");
    }

    #[test]
    fn the_last_lines_are_bounded_and_left_out_where_there_are_none() {
        let lines: String = (0..20).map(|number| format!("line {number}\n")).collect();

        let shown = with_last_lines("web failed".to_owned(), lines.as_bytes());

        assert!(shown.starts_with("web failed; its last lines:\n    line 10\n"), "{shown}");
        assert!(shown.ends_with("    line 19"), "{shown}");
        assert_eq!(with_last_lines("web failed".to_owned(), b"\n"), "web failed");
    }
}
