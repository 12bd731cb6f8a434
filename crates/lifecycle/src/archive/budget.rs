//! Bounds of everything that one phase reads or writes.

use crate::failure::{LifecycleError, Result};

/// Bytes and entries that are left.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    bytes: u64,
    entries: u64,
    bytes_max: u64,
    entries_max: u64,
}

/// Bytes of all files of a build where the platform names no bound.
pub const BYTES_MAX_DEFAULT: u64 = 16 << 30;
/// Entries of all layers of a build where the platform names no bound.
pub const ENTRIES_MAX_DEFAULT: u64 = 1_000_000;

impl Budget {
    pub fn new(bytes: u64, entries: u64) -> Self {
        Self { bytes, entries, bytes_max: bytes, entries_max: entries }
    }

    /// Takes one entry of this size.
    pub fn take(&mut self, bytes: u64) -> Result<()> {
        let over = |what: &str, max: u64| {
            LifecycleError::generic(format!("layers, app and cache have more than {max} {what}: remove some"))
        };
        self.entries = self.entries.checked_sub(1).ok_or_else(|| over("entries", self.entries_max))?;
        self.bytes = self.bytes.checked_sub(bytes).ok_or_else(|| over("bytes", self.bytes_max))?;
        Ok(())
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self::new(BYTES_MAX_DEFAULT, ENTRIES_MAX_DEFAULT)
    }
}
