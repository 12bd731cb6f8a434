//! Layers that are slow to make, in the cache of this machine.
//!
//! A layer is kept under the hash of its inputs; the file's name also has its digest, so that hundreds of megabytes are
//! hashed once only.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use super::{Content, Layer};
use crate::progress;

/// Folder of the cache that one chore at a time uses.
pub struct Cached(pub PathBuf);

impl Cached {
    /// Without the lock, two chores at once would make the same layer twice.
    pub fn locked<T>(&self, work: impl FnOnce(&Path) -> anyhow::Result<T>) -> anyhow::Result<T> {
        let folder = &self.0;
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let lock = File::create(folder.join("lock")).context("cannot make the lock file")?;
        lock.lock().with_context(|| format!("cannot lock {}", folder.display()))?;
        work(folder)
    }
}

/// Files `<kind>-<key>-<hex of the digest>.tar` in a folder, of which the newest is kept.
pub struct LayerStore<'a> {
    folder: &'a Path,
    kind: &'static str,
    key: &'a str,
}

impl<'a> LayerStore<'a> {
    pub fn new(folder: &'a Path, kind: &'static str, key: &'a str) -> Self {
        Self { folder, kind, key }
    }

    /// Finds the layer or has it made into a file.
    pub fn ensure(&self, make: impl FnOnce(&Path) -> anyhow::Result<()>) -> anyhow::Result<Layer> {
        if let Some(layer) = self.find()? {
            return Ok(layer);
        }
        let unfinished = self.folder.join(format!("unfinished-{}.tar", std::process::id()));
        let made = make(&unfinished).and_then(|()| self.keep(&unfinished));
        if made.is_err() {
            // A partial file must not fill the disk; if it is missing, that is no second error.
            let _ = std::fs::remove_file(&unfinished);
        }
        made
    }

    fn find(&self) -> anyhow::Result<Option<Layer>> {
        let prefix = format!("{}-{}-", self.kind, self.key);
        for name in self.names()? {
            if let Some(hex) = name.strip_prefix(&prefix).and_then(|rest| rest.strip_suffix(".tar")) {
                return open(&self.folder.join(&name), hex).map(Some);
            }
        }
        Ok(None)
    }

    /// Renames the finished file, once all of it is on disk, and removes those of other inputs.
    fn keep(&self, unfinished: &Path) -> anyhow::Result<Layer> {
        File::open(unfinished)?.sync_all()?;
        let sum = progress::output(Command::new("sha256sum").arg(unfinished))?;
        let hex = sum.split_whitespace().next().context("`sha256sum` printed nothing")?.to_owned();
        let prefix = format!("{}-", self.kind);
        for old in self.names()?.into_iter().filter(|name| name.starts_with(&prefix)) {
            std::fs::remove_file(self.folder.join(old))?;
        }
        let path = self.folder.join(format!("{}-{}-{hex}.tar", self.kind, self.key));
        std::fs::rename(unfinished, &path).with_context(|| format!("cannot make {}", path.display()))?;
        open(&path, &hex)
    }

    fn names(&self) -> anyhow::Result<Vec<String>> {
        let entries = std::fs::read_dir(self.folder)
            .with_context(|| format!("cannot read {}", self.folder.display()))?;
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }
}

fn open(path: &Path, hex: &str) -> anyhow::Result<Layer> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let size_bytes = file.metadata()?.len();
    Ok(Layer::new(format!("sha256:{hex}"), size_bytes, Content::File(file)))
}
