//! Identity of the SQLite file: a file that was removed or replaced takes no more writes.
//!
//! SQLite itself would go on writing to the file that it has open, which has no name any more, and the writes would be
//! lost with the process.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use crate::open::unusable;
use crate::{DatabaseError, StoreError};

/// A path and the file that was there at first.
pub(crate) struct DatabaseFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl DatabaseFile {
    pub(crate) fn of(path: &str) -> Result<Self, StoreError> {
        let path = PathBuf::from(path);
        let file = fs::metadata(&path).map_err(unusable)?;
        Ok(Self { identity: (file.dev(), file.ino()), path })
    }

    /// Refuses where another file, or none, is there now.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        let is_same = fs::metadata(&self.path).is_ok_and(|file| (file.dev(), file.ino()) == self.identity);
        if is_same {
            return Ok(());
        }
        let path = self.path.display();
        let reason =
            format!("{path} is not the file that was opened: put that back, or restart the platform");
        Err(StoreError::unreachable(DatabaseError::Moved, reason))
    }
}
