//! The processes below ours, as `/proc` shows them, and how a signal finds those it is meant for.

use std::collections::HashSet;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Depth to which shells within shells are followed.
const SHELL_DEPTH_MAX: u32 = 16;

/// Signals related processes, and children of shells among them that would not forward the signal. Adds all
/// signaled processes to `told`, and skips those already in it.
pub fn signal_all(family: &[Pid], signal: Signal, told: &mut HashSet<Pid>) {
    signal_to_depth(family, signal, told, SHELL_DEPTH_MAX);
}

fn signal_to_depth(family: &[Pid], signal: Signal, told: &mut HashSet<Pid>, depth: u32) {
    for pid in family {
        // The end of a pipe ends with its beginning; sooner, it would break the beginning's last words.
        if reads_from_one_of(*pid, family) || !told.insert(*pid) {
            continue;
        }
        let below = if depth > 0 && is_deaf_shell(*pid, signal) { children_of(*pid) } else { Vec::new() };
        // The shell first: else it would see its command end and start the next one. Both may be gone by now.
        let _ = kill(*pid, signal);
        signal_to_depth(&below, signal, told, depth.saturating_sub(1));
    }
}

fn reads_from_one_of(reader: Pid, writers: &[Pid]) -> bool {
    let end = |pid: Pid, number| std::fs::read_link(format!("/proc/{pid}/fd/{number}")).ok();
    let input = end(reader, 0).filter(|input| input.to_string_lossy().starts_with("pipe:"));
    input.is_some() && writers.iter().any(|writer| *writer != reader && end(*writer, 1) == input)
}

fn is_deaf_shell(pid: Pid, signal: Signal) -> bool {
    let exe = std::fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
    let is_shell =
        exe.file_name().is_some_and(|name| ["bash", "dash", "sh"].iter().any(|shell| name == *shell));
    is_shell && !catches(pid, signal)
}

fn catches(pid: Pid, signal: Signal) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    caught & (1 << (signal as u32 - 1)) != 0
}

/// Processes whose parent this is.
pub fn children_of(parent: Pid) -> Vec<Pid> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.map(Pid::from_raw).filter(|pid| parent_of(*pid) == Some(parent)).collect()
}

/// The parent is the second field after the program's name, which is in parentheses and may contain anything.
fn parent_of(pid: Pid) -> Option<Pid> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_ascii_whitespace().nth(1)?.parse().ok().map(Pid::from_raw)
}
