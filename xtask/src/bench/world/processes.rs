//! Processes of containers: those of the test cluster's nodes are processes of this machine.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use nix::errno::Errno;
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;

/// Longest time from SIGKILL to the end of a process.
const END_MAX: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_micros(200);

/// Processes of a container, found by its id in the names of their control groups.
pub fn of_container(id: &str) -> anyhow::Result<Vec<u32>> {
    let entries = std::fs::read_dir("/proc").context("cannot read /proc")?.flatten();
    let processes = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_inside = |process: &u32| {
        let groups = std::fs::read_to_string(format!("/proc/{process}/cgroup"));
        groups.is_ok_and(|groups| groups.contains(id))
    };
    let processes: Vec<u32> = processes.filter(is_inside).collect();
    ensure!(
        !processes.is_empty(),
        "no process of the container {id} is on this machine: the nodes must be those of `cargo xtask cluster up`"
    );
    Ok(processes)
}

/// Kills them all with SIGKILL and waits until they are gone.
pub fn kill(processes: &[u32]) -> anyhow::Result<()> {
    for process in processes {
        let id = Pid::from_raw(i32::try_from(*process).context("a process id is small")?);
        match signal::kill(id, Signal::SIGKILL) {
            // It ended with its parent.
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(error) => return Err(error).with_context(|| format!("cannot kill process {process}")),
        }
    }
    let deadline = Instant::now() + END_MAX;
    // A dead process has no program, also before its parent has waited for it.
    while processes.iter().any(|it| Path::new(&format!("/proc/{it}/exe")).read_link().is_ok()) {
        ensure!(Instant::now() < deadline, "{processes:?} do not end");
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(())
}

/// Name of the program that a process runs.
pub fn program(process: u32) -> String {
    std::fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default().trim().to_owned()
}
