//! CPU time and memory of processes, as the kernel counts them.

use std::time::Duration;

use anyhow::Context as _;

/// CPU time that a process has used so far, in the kernel and outside of it.
pub fn cpu(process: u32) -> anyhow::Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    ticks(&stat).map(|ticks| Duration::from_millis(ticks * 10)).context("/proc/PID/stat is odd")
}

/// Ticks, a hundredth of a second each on Linux: fields 14 and 15, counted after the name, which may hold blanks.
fn ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(user + system)
}

/// Proportional set size of processes together: pages that they share count once.
pub fn pss_mib(processes: &[u32]) -> anyhow::Result<f64> {
    processes.iter().map(|process| pss_of(*process)).sum()
}

fn pss_of(process: u32) -> anyhow::Result<f64> {
    let path = format!("/proc/{process}/smaps_rollup");
    let text = std::fs::read_to_string(&path).with_context(|| path.clone())?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).context("no Pss line")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse().with_context(|| path)?;
    Ok(kib / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_read_behind_any_name() {
        let stat = "7 (a b) c) S 1 7 7 0 -1 4194560 500 0 0 0 12 30 0 0 20 0 1 0 100 1 1";

        assert_eq!(ticks(stat), Some(42));
        assert_eq!(ticks("odd"), None);
    }
}
