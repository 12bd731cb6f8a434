//! The data folder: one owner at a time, secrets made on first start.

use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use domain::sealing::SealingKeys;
use engine::private_file;
use nix::fcntl::{Flock, FlockArg};

/// The file of the sealing keys, the newest first.
const SEALING_KEY: &str = "sealing-key";

/// The folder, locked for as long as this value lives.
pub struct DataDir {
    path: PathBuf,
    _lock: Flock<File>,
}

impl DataDir {
    /// Opens the folder, making it on first use; refuses while another platform runs on it.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let make = || -> std::io::Result<()> {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))
        };
        make().with_context(|| {
            format!("cannot make the data folder {}: choose another with --data-dir", path.display())
        })?;
        let lock_path = path.join("lock");
        let lock = OpenOptions::new()
            .write(true)
            .truncate(false)
            .create(true)
            .mode(0o600)
            .open(&lock_path)
            .with_context(|| lock_path.display().to_string())?;
        let Ok(lock) = Flock::lock(lock, FlockArg::LockExclusiveNonblock) else {
            bail!(
                "another platform runs on {}: stop it or choose another folder with --data-dir",
                path.display()
            );
        };
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Reads a secret of 64 hex digits, made at random on first use.
    pub fn secret(&self, name: &str) -> anyhow::Result<[u8; 32]> {
        let text = self.made_once(name, || hex(&rand::random::<[u8; 32]>()))?;
        unhex(text.trim()).with_context(|| {
            format!("{} should hold 64 hex digits: restore it from a backup", self.join(name).display())
        })
    }

    /// Reads the sealing keys; the first is made on first start.
    pub fn sealing_keys(&self) -> anyhow::Result<SealingKeys> {
        let text = self.made_once(SEALING_KEY, || hex(&rand::random::<[u8; 32]>()))?;
        SealingKeys::parse(&text)
            .with_context(|| format!("{}: restore it from a backup", self.join(SEALING_KEY).display()))
    }

    /// Puts a new key before those that there are: from now on it seals, and the others only open.
    pub fn add_sealing_key(&self) -> anyhow::Result<SealingKeys> {
        self.sealing_keys()?;
        let kept = std::fs::read_to_string(self.join(SEALING_KEY))?;
        self.replace(SEALING_KEY, &format!("{}\n{kept}", hex(&rand::random::<[u8; 32]>())))?;
        self.sealing_keys()
    }

    /// Forgets all keys but the newest. Only right when they seal nothing any more.
    pub fn forget_older_sealing_keys(&self) -> anyhow::Result<()> {
        self.sealing_keys()?;
        let kept = std::fs::read_to_string(self.join(SEALING_KEY))?;
        let newest = kept.lines().map(str::trim).find(|line| !line.is_empty());
        self.replace(SEALING_KEY, newest.context("the file of keys was read just now")?)
    }

    /// Reads the short random name of this platform among those that share a Docker daemon.
    pub fn instance(&self) -> anyhow::Result<String> {
        let text = self.made_once("instance", || hex(&rand::random::<[u8; 4]>()))?;
        Ok(text.trim().to_owned())
    }

    /// Reads a file that is written once, all or nothing: a crash in between leaves none.
    fn made_once(&self, name: &str, make: impl FnOnce() -> String) -> anyhow::Result<String> {
        let path = self.join(name);
        let read_or_make = || -> std::io::Result<String> {
            if !path.exists() {
                private_file::replace(&path, make().as_bytes())?;
            }
            let mut text = String::new();
            File::open(&path)?.read_to_string(&mut text)?;
            Ok(text)
        };
        read_or_make().with_context(|| format!("cannot keep {}", path.display()))
    }

    /// Writes a file that only the platform's user reads.
    pub fn replace(&self, name: &str, text: &str) -> anyhow::Result<()> {
        private_file::replace(&self.join(name), text.as_bytes())
            .with_context(|| format!("cannot replace {}", self.join(name).display()))
    }
}

/// Lower-case hex digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (position, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * position..2 * position + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_made_once_and_only_their_owner_may_read_them() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("data");
        let first = DataDir::open(&path).expect("a fresh folder").secret("key").expect("made");
        let again = DataDir::open(&path).expect("the same folder").secret("key").expect("read");

        assert_eq!(first, again);
        let mode = |path: PathBuf| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode(path.join("key")), 0o600);
        assert_eq!(mode(path), 0o700);
    }

    #[test]
    fn a_new_sealing_key_comes_first_and_the_older_ones_can_go() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let data_dir = DataDir::open(folder.path()).expect("a fresh folder");
        let first = data_dir.sealing_keys().expect("made");

        let both = data_dir.add_sealing_key().expect("added");
        data_dir.forget_older_sealing_keys().expect("forgotten");
        let newest = data_dir.sealing_keys().expect("read");

        assert_eq!(both.older_ids().collect::<Vec<_>>(), [first.newest_id()]);
        assert_eq!((newest.newest_id(), newest.older_ids().count()), (both.newest_id(), 0));
        let mode = std::fs::metadata(folder.path().join("sealing-key")).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_second_platform_on_the_same_folder_is_refused() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let _held = DataDir::open(folder.path()).expect("a fresh folder");

        let refused = DataDir::open(folder.path()).err().expect("refused").to_string();
        assert!(refused.contains("another platform runs on"), "{refused}");
    }
}
