//! Paths: the checkout, build output, and files kept outside.

use std::path::{Path, PathBuf};

/// Root of the checkout.
pub fn checkout() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.ancestors().nth(2).expect("tools/chores lies in the checkout").to_owned()
}

/// Cargo's target folder.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| checkout().join("target"), PathBuf::from)
}

/// Downloads and other files that are slow to make again; outside of the checkout.
pub fn cache() -> PathBuf {
    let cache_home = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    cache_home.unwrap_or_else(|| home().join(".cache")).join("workflow")
}

/// State of platforms that chores have started.
pub fn state() -> PathBuf {
    let state_home = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from);
    state_home.unwrap_or_else(|| home().join(".local/state")).join("workflow")
}

fn home() -> PathBuf {
    std::env::var_os("HOME").map_or_else(|| PathBuf::from("/root"), PathBuf::from)
}

/// The cargo that runs this program, else the one in `PATH`.
pub fn cargo() -> PathBuf {
    std::env::var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from)
}
