//! Processes of the cluster: they outlive this chore, and are found by file and control group.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use chores::progress;
use serde::{Deserialize, Serialize};

use crate::cgroups::Hierarchies;
use crate::layout;

/// Lines of a log that are shown after a failure.
const LOG_LINES_SHOWN: usize = 15;

/// A started process: `etcd`, `kubelet-1`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Process {
    pub name: String,
    pub id: u32,
    /// Its control group.
    group: String,
}

impl Process {
    /// Starts a command that outlives this chore.
    pub fn start(name: &str, group: &str, command: &Command) -> anyhow::Result<Self> {
        let path = layout::log(name);
        let log = File::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
        let child = Command::new("setsid")
            .arg(command.get_program())
            .args(command.get_args())
            .envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))))
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let process = Self { name: name.to_owned(), id: child.id(), group: group.to_owned() };
        Hierarchies::of_this_machine()?.join(group, process.id)?;
        std::fs::write(file(name), serde_json::to_vec(&process)?)?;
        Ok(process)
    }

    /// Finds a process that was started before, by name.
    pub fn find(name: &str) -> anyhow::Result<Self> {
        let text = std::fs::read(file(name)).with_context(|| format!("{name} was not started"))?;
        serde_json::from_slice(&text).with_context(|| format!("cannot read {}", file(name).display()))
    }

    /// All started processes that were not removed.
    pub fn all() -> Vec<Self> {
        let entries = std::fs::read_dir(layout::run()).into_iter().flatten().flatten();
        let files =
            entries.map(|entry| entry.path()).filter(|path| path.extension() == Some("json".as_ref()));
        let read = |path: PathBuf| serde_json::from_slice(&std::fs::read(path).ok()?).ok();
        let mut all: Vec<Self> = files.filter_map(read).collect();
        all.sort_by(|one, other| one.name.cmp(&other.name));
        all
    }

    /// Fails with the end of its log if one has ended by itself.
    pub fn ensure_all_run() -> anyhow::Result<()> {
        match Self::all().into_iter().find(|process| !process.is_running()) {
            Some(process) => bail!("{} ended\n{}", process.name, process.last_words()),
            None => Ok(()),
        }
    }

    /// Returns true if it runs: another process that got its id is not in its control group.
    pub fn is_running(&self) -> bool {
        Hierarchies::of_this_machine().is_ok_and(|all| all.processes(&self.group).contains(&self.id))
    }

    /// Waits until it is ready; fails with the end of its log when it ends or takes too long.
    pub fn wait_until(&self, limit: Duration, mut ready: impl FnMut() -> bool) -> anyhow::Result<()> {
        let mut ended = false;
        let in_time = progress::wait_until(limit, || {
            ended = !self.is_running();
            ended || ready()
        });
        match (ended, in_time) {
            (true, _) => bail!("{} ended\n{}", self.name, self.last_words()),
            (false, false) => {
                bail!("{} is not ready after {} s\n{}", self.name, limit.as_secs(), self.last_words())
            }
            (false, true) => Ok(()),
        }
    }

    /// The end of its log.
    fn last_words(&self) -> String {
        let path = layout::log(&self.name);
        let text = std::fs::read(&path).unwrap_or_default();
        format!("    the end of {}:\n{}", path.display(), last_lines(&String::from_utf8_lossy(&text)))
    }
}

fn file(name: &str) -> PathBuf {
    layout::run().join(format!("{name}.json"))
}

fn last_lines(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    let shown = &lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..];
    shown.iter().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_end_of_a_log_is_shown() {
        let text: String = (1..=100).map(|line| format!("line {line}\n")).collect();

        let shown = last_lines(&text);

        assert_eq!(shown.lines().count(), LOG_LINES_SHOWN);
        assert!(shown.ends_with("    line 100"));
        assert_eq!(last_lines("one"), "    one");
    }
}
