//! Control groups: every process of the cluster is below one group, by which `down` finds it.
//!
//! `workflow-cluster/NODE` is the root of a kubelet's pods; `workflow-cluster/NODE/system` and
//! `workflow-cluster/control-plane` hold our processes. Both versions of control groups work: version 2, or
//! version 1 with a hierarchy for each controller.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use chores::progress;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The group of the whole cluster; a machine has one cluster.
pub const ROOT: &str = "workflow-cluster";

/// Longest time until killed processes are gone; a disk that hangs delays them.
const END_MAX: Duration = Duration::from_secs(30);

/// The hierarchies of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hierarchies {
    V1(Vec<PathBuf>),
    V2(PathBuf),
}

impl Hierarchies {
    /// Reads the mounts of this machine.
    pub fn of_this_machine() -> anyhow::Result<Self> {
        let mounts = std::fs::read_to_string("/proc/self/mounts").context("cannot read /proc/self/mounts")?;
        Self::mounted(&mounts).context(
            "no control groups that Kubernetes could use: neither version 2 at /sys/fs/cgroup nor the \
             controllers `memory`, `cpu` and `pids` of version 1 are mounted",
        )
    }

    /// Reads lines like `cgroup /sys/fs/cgroup/pids cgroup rw,pids 0 0`.
    fn mounted(mounts: &str) -> Option<Self> {
        let mut v1 = Vec::new();
        for line in mounts.lines() {
            let mut words = line.split(' ').skip(1);
            let (folder, kind) = (words.next()?, words.next()?);
            match kind {
                "cgroup2" if folder == "/sys/fs/cgroup" => return Some(Self::V2(PathBuf::from(folder))),
                // With version 1 there may be version 2 without controllers, which runc uses too.
                "cgroup" | "cgroup2" => v1.push(PathBuf::from(folder)),
                _ => {}
            }
        }
        let has = |controller: &str| v1.iter().any(|folder| names_controller(folder, controller));
        ["memory", "cpu", "pids"].iter().all(|controller| has(controller)).then_some(Self::V1(v1))
    }

    fn folders(&self) -> &[PathBuf] {
        match self {
            Self::V1(folders) => folders,
            Self::V2(folder) => std::slice::from_ref(folder),
        }
    }

    /// The hierarchy in which our processes are found.
    fn tracking(&self) -> &Path {
        let folders = self.folders();
        folders.iter().find(|folder| names_controller(folder, "pids")).unwrap_or(&folders[0])
    }

    /// Makes a group and its parents.
    pub fn make(&self, group: &str) -> anyhow::Result<()> {
        for folder in self.folders() {
            let mut path = folder.clone();
            for part in Path::new(group) {
                let parent = path.clone();
                path.push(part);
                if !path.is_dir() {
                    self.make_one(&path, &parent)?;
                }
            }
        }
        Ok(())
    }

    fn make_one(&self, path: &Path, parent: &Path) -> anyhow::Result<()> {
        let context = || format!("cannot make the control group {}", path.display());
        match self {
            Self::V1(_) => {
                std::fs::create_dir(path).with_context(context)?;
                give_processors(path, parent).with_context(context)
            }
            Self::V2(_) => {
                pass_controllers_on(parent)?;
                std::fs::create_dir(path).with_context(context)
            }
        }
    }

    /// Moves a process into a group.
    pub fn join(&self, group: &str, process: u32) -> anyhow::Result<()> {
        let file = self.tracking().join(group).join("cgroup.procs");
        std::fs::write(&file, process.to_string()).with_context(|| format!("cannot write {}", file.display()))
    }

    /// The processes in a group and below it.
    pub fn processes(&self, group: &str) -> Vec<u32> {
        let folders = below(&self.tracking().join(group));
        let lists = folders.iter().filter_map(|it| std::fs::read_to_string(it.join("cgroup.procs")).ok());
        lists.flat_map(|list| list.lines().filter_map(|line| line.parse().ok()).collect::<Vec<_>>()).collect()
    }

    /// Kills all of a group and removes it.
    pub fn clear(&self, group: &str) -> anyhow::Result<()> {
        let all_ended = progress::wait_until(END_MAX, || {
            let processes = self.processes(group);
            for process in &processes {
                // It may have ended by itself meanwhile.
                let _ = kill(Pid::from_raw((*process).cast_signed()), Signal::SIGKILL);
            }
            processes.is_empty()
        });
        if !all_ended {
            bail!("processes {:?} of {group} do not end", self.processes(group));
        }
        for hierarchy in self.folders() {
            let removed =
                || below(&hierarchy.join(group)).iter().rev().all(|it| std::fs::remove_dir(it).is_ok());
            if !progress::wait_until(END_MAX, removed) {
                bail!("cannot remove the control group {}", hierarchy.join(group).display());
            }
        }
        Ok(())
    }
}

/// Returns true if a hierarchy of version 1 has this controller: `cpu,cpuacct` has two.
fn names_controller(folder: &Path, controller: &str) -> bool {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    name.split(',').any(|part| part == controller)
}

/// Version 1: without processors and memory of its own, a group of `cpuset` takes no process.
fn give_processors(path: &Path, parent: &Path) -> std::io::Result<()> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        if path.join(file).exists() {
            std::fs::write(path.join(file), std::fs::read(parent.join(file))?)?;
        }
    }
    Ok(())
}

/// Version 2: lets the groups below use what this group may use.
fn pass_controllers_on(path: &Path) -> anyhow::Result<()> {
    let available = std::fs::read_to_string(path.join("cgroup.controllers")).unwrap_or_default();
    let all: Vec<_> = available.split_whitespace().map(|controller| format!("+{controller}")).collect();
    let file = path.join("cgroup.subtree_control");
    std::fs::write(&file, all.join(" ")).with_context(|| {
        format!(
            "cannot write {}: in a container, give it a control group namespace of its own",
            file.display()
        )
    })
}

/// A group's folder and those below it, the upper ones first.
fn below(group: &Path) -> Vec<PathBuf> {
    let mut found = if group.is_dir() { vec![group.to_owned()] } else { Vec::new() };
    let mut next = 0;
    while let Some(folder) = found.get(next).cloned() {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        found.extend(entries.map(|entry| entry.path()).filter(|path| path.is_dir()));
        next += 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_of_control_groups_are_told_apart() {
        let v2 = "proc /proc proc rw 0 0\ncgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n";
        let v1 = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\ncgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n\
            cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,cpu,cpuacct 0 0\n\
            cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\ncgroup /sys/fs/cgroup/pids cgroup rw,pids 0 0\n";

        assert_eq!(Hierarchies::mounted(v2), Some(Hierarchies::V2("/sys/fs/cgroup".into())));
        let found = Hierarchies::mounted(v1).expect("version 1");
        assert_eq!(found.folders().len(), 4);
        assert_eq!(found.tracking(), Path::new("/sys/fs/cgroup/pids"));
        assert_eq!(Hierarchies::mounted("proc /proc proc rw 0 0"), None);
    }

    #[test]
    fn lower_groups_are_removed_before_those_above() {
        let folder = std::env::temp_dir().join(format!("workflow-cgroups-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("one/two")).expect("a folder");

        let found = below(&folder);

        std::fs::remove_dir_all(&folder).expect("it is ours");
        assert_eq!(found, [folder.clone(), folder.join("one"), folder.join("one/two")]);
    }
}
