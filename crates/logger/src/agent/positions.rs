//! Positions up to which each log file was read and sent, kept on the node so that a restart loses and repeats
//! little.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::AgentError;

/// A position in a file. The inode identifies the file, also after it was rotated away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    pub inode: u64,
    pub offset: u64,
}

/// Known position of a file when reading begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileState {
    /// Read up to there.
    Read(Position),
    /// New since we have been here.
    New,
    /// Nothing is known of any file: the agent is new on this node.
    Nothing,
}

/// Positions by the name of the link.
pub(super) struct Positions {
    file: PathBuf,
    noted: BTreeMap<String, Position>,
    is_first: bool,
    is_changed: bool,
}

impl Positions {
    /// Reads what an earlier run noted. A file that cannot be understood is as good as none.
    pub(super) fn load(file: &Path) -> Result<Self, AgentError> {
        let cannot = |source| AgentError::Positions { path: file.to_owned(), source };
        let noted = match std::fs::read(file) {
            Ok(bytes) => serde_json::from_slice(&bytes).ok(),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(cannot(error)),
        };
        let is_first = noted.is_none();
        Ok(Self { file: file.to_owned(), noted: noted.unwrap_or_default(), is_first, is_changed: is_first })
    }

    pub(super) fn of(&self, name: &str) -> FileState {
        match self.noted.get(name) {
            Some(position) => FileState::Read(*position),
            None if self.is_first => FileState::Nothing,
            None => FileState::New,
        }
    }

    pub(super) fn note(&mut self, name: &str, position: Position) {
        self.is_changed |= self.noted.insert(name.to_owned(), position) != Some(position);
    }

    pub(super) fn keep_only(&mut self, is_kept: impl Fn(&str) -> bool) {
        let before = self.noted.len();
        self.noted.retain(|name, _| is_kept(name));
        self.is_changed |= self.noted.len() != before;
    }

    /// Writes what has changed, all or nothing.
    pub(super) fn save(&mut self) -> Result<(), AgentError> {
        if !self.is_changed {
            return Ok(());
        }
        let unfinished = self.file.with_extension("new");
        let save = || -> std::io::Result<()> {
            std::fs::write(&unfinished, serde_json::to_vec(&self.noted)?)?;
            std::fs::rename(&unfinished, &self.file)
        };
        save().map_err(|source| AgentError::Positions { path: self.file.clone(), source })?;
        // Files that come from now on are new.
        (self.is_first, self.is_changed) = (false, false);
        Ok(())
    }
}
