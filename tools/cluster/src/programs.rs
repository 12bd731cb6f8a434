//! The cluster's programs: built from the pins, one at a time, and kept in the cache.
//!
//! A group's folder is named after the hash of its pins. A program appears in it under its name only when it
//! is complete, so that an interrupted build continues.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use chores::{paths, progress};

use crate::go;
use crate::pins::{GROUPS, Group, Pinned, TOOLS};

/// Longest build of one program; the largest takes six minutes on two busy cores.
const BUILD_MAX: Duration = Duration::from_secs(60 * 60);

/// Folder of the built programs.
#[derive(Debug, Clone)]
pub struct Programs {
    folders: Vec<PathBuf>,
}

impl Programs {
    /// Builds the missing programs of a cluster.
    pub fn ensure() -> anyhow::Result<Self> {
        Self::ensure_only(|_| true)
    }

    /// Builds the missing ones of the wanted programs.
    pub fn ensure_only(is_wanted: impl Fn(&str) -> bool) -> anyhow::Result<Self> {
        Self::ensure_of(GROUPS, is_wanted)
    }

    /// A program that is not part of a cluster; builds it where it is missing.
    pub fn ensure_tool(program: &str) -> anyhow::Result<PathBuf> {
        Ok(Self::ensure_of(TOOLS, |tool| tool == program)?.path(program))
    }

    /// All programs of one group.
    pub fn ensure_group(group: &'static Group) -> anyhow::Result<Self> {
        Self::ensure_of(&[group], |_| true)
    }

    fn ensure_of(groups: &[&'static Group], is_wanted: impl Fn(&str) -> bool) -> anyhow::Result<Self> {
        let mut missing = Vec::new();
        let mut folders = Vec::new();
        for group in groups {
            let pinned = group.pinned()?;
            let folder = folder(group, &pinned);
            let programs = group.programs.iter().filter(|(program, _)| is_wanted(program));
            let absent = programs.filter(|(program, _)| !folder.join(program).is_file());
            missing.extend(absent.map(|(program, package)| (*group, pinned.clone(), *program, *package)));
            folders.push(folder);
        }
        if !missing.is_empty() {
            println!("    {} programs to build with {}; once only", missing.len(), go::version()?);
        }
        for (place, (group, pinned, program, package)) in missing.iter().enumerate() {
            let title = format!("Build {program} {} ({} of {})", pinned.version, place + 1, missing.len());
            progress::step(&title, || build(group, pinned, program, package))?;
        }
        Ok(Self { folders })
    }

    /// Path of a program.
    pub fn path(&self, program: &str) -> PathBuf {
        let mut candidates = self.folders.iter().map(|folder| folder.join(program));
        candidates.find(|file| file.is_file()).unwrap_or_else(|| PathBuf::from(program))
    }

    /// `PATH` with these programs before all others.
    pub fn search_path(&self) -> anyhow::Result<std::ffi::OsString> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = self.folders.iter().cloned().chain(std::env::split_paths(&path));
        std::env::join_paths(folders).context("a folder in PATH has a colon in its name")
    }
}

fn all() -> PathBuf {
    paths::cache().join("cluster/bin")
}

fn folder(group: &Group, pinned: &Pinned) -> PathBuf {
    all().join(format!("{}-{}", group.name, pinned.key))
}

fn build(group: &Group, pinned: &Pinned, program: &str, package: &str) -> anyhow::Result<()> {
    let folder = folder(group, pinned);
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let unfinished = folder.join(format!("unfinished-{program}"));
    let mut command = go::command()?;
    command.current_dir(group.folder());
    command.args([
        "build",
        "-mod=readonly",
        "-trimpath",
        "-buildvcs=false",
        "-tags",
        pinned.tags,
        "-ldflags",
    ]);
    command.arg(&pinned.linker_flags).arg("-o").arg(&unfinished).arg(package);
    progress::run(&mut progress::within(BUILD_MAX, &command))?;
    let length_bytes = std::fs::metadata(&unfinished)?.len();
    ensure!(length_bytes > 0, "Go made an empty {}", unfinished.display());
    std::fs::rename(&unfinished, folder.join(program)).context("cannot keep what was built")?;
    forget_other_pins(group, &folder)
}

/// Removes programs of former pins: half a gigabyte each. Recent ones may be in use by another checkout.
fn forget_other_pins(group: &Group, current: &Path) -> anyhow::Result<()> {
    const KEPT: Duration = Duration::from_secs(24 * 60 * 60);
    let is_recent = |path: &PathBuf| {
        let changed = std::fs::metadata(path).and_then(|metadata| metadata.modified());
        changed.is_ok_and(|changed| changed.elapsed().is_ok_and(|age| age < KEPT))
    };
    let is_old = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let key = name.strip_prefix(group.name).and_then(|rest| rest.strip_prefix('-'));
        path != current && key.is_some_and(|key| !key.contains('-'))
    };
    let entries = std::fs::read_dir(all())?.flatten().map(|entry| entry.path());
    for old in entries.filter(is_old).filter(|path| !is_recent(path)) {
        std::fs::remove_dir_all(&old).with_context(|| format!("cannot remove {}", old.display()))?;
    }
    Ok(())
}
