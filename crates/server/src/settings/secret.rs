//! Secrets of the roles: files, as Kubernetes mounts them, so that they are in no command line and in no
//! environment that other processes inherit.

use std::path::Path;

use anyhow::{Context as _, ensure};
use domain::sealing::SealingKeys;

/// Shortest key that is taken for one.
const KEY_LENGTH_MIN: usize = 16;

/// Reads a key that is shared between roles; `flag` named the file.
pub fn key_in(flag: &str, path: &Path) -> anyhow::Result<String> {
    let text = read(flag, path)?;
    let key = text.trim();
    let is_plain = key.bytes().all(|byte| byte.is_ascii_graphic());
    ensure!(
        is_plain && key.len() >= KEY_LENGTH_MIN,
        "{flag} {}: expected at least {KEY_LENGTH_MIN} letters and digits",
        path.display()
    );
    Ok(key.to_owned())
}

/// Reads the keys that seal config values in the database.
pub fn sealing_keys_in(flag: &str, path: &Path) -> anyhow::Result<SealingKeys> {
    SealingKeys::parse(&read(flag, path)?).with_context(|| format!("{flag} {}", path.display()))
}

fn read(flag: &str, path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("{flag} {}: cannot read it", path.display()))
}
