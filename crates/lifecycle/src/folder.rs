//! Folders that somebody hostile wrote: everything is opened by name below an open folder, and no link is followed.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat, mkdirat};
use serde::de::DeserializeOwned;

use crate::failure::{LifecycleError, OrFailure, Result};
use crate::formats::{bounded_text, parse};

/// Entries of one folder, and of a whole tree.
pub const ENTRIES_MAX: usize = 1_000_000;

/// An open folder.
pub struct Folder {
    fd: OwnedFd,
    /// For messages alone.
    pub path: PathBuf,
}

/// Kinds of entries, from the entry itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    File,
    Folder,
    Link,
    Socket,
    /// A FIFO or a device.
    Special,
}

/// An entry as it is, without following it.
#[derive(Debug, Clone, Copy)]
pub struct Facts {
    pub kind: Kind,
    pub mode: u32,
    pub size: u64,
    pub links: u64,
    /// Device and number, which hard links share.
    pub identity: (u64, u64),
}

impl Facts {
    fn of(stat: &FileStat) -> Self {
        let kind = match SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()) {
            SFlag::S_IFREG => Kind::File,
            SFlag::S_IFDIR => Kind::Folder,
            SFlag::S_IFLNK => Kind::Link,
            SFlag::S_IFSOCK => Kind::Socket,
            _ => Kind::Special,
        };
        let size = u64::try_from(stat.st_size).unwrap_or_default();
        let identity = (stat.st_dev, stat.st_ino);
        Self { kind, mode: stat.st_mode & 0o7777, size, links: stat.st_nlink, identity }
    }
}

const FOLDER: OFlag =
    OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

impl Folder {
    /// Opens a folder that the platform named; it must not be a link itself.
    pub fn open(path: &Path) -> Result<Self> {
        let fd = open(path, FOLDER, Mode::empty()).or_fail(format!("{} is no folder", path.display()))?;
        Ok(Self { fd, path: path.to_owned() })
    }

    fn failed(&self, name: &OsStr) -> String {
        format!("{} cannot be read", self.path.join(name).display())
    }

    /// Opens a folder in it, `None` if there is nothing of this name.
    ///
    /// # Errors
    ///
    /// For an entry that is no folder, a link to one above all.
    pub fn folder(&self, name: impl AsRef<OsStr>) -> Result<Option<Self>> {
        let name = checked(name.as_ref())?;
        match openat(&self.fd, name, FOLDER, Mode::empty()) {
            Ok(fd) => Ok(Some(Self { fd, path: self.path.join(name) })),
            Err(Errno::ENOENT) => Ok(None),
            Err(Errno::ENOTDIR | Errno::ELOOP) => {
                Err(LifecycleError::generic(format!("{} is no folder", self.path.join(name).display())))
            }
            Err(error) => Err(error).or_fail(self.failed(name)),
        }
    }

    /// Opens a folder some levels below.
    pub fn below(&self, names: &[&str]) -> Result<Option<Self>> {
        let mut folder = Self {
            fd: self.fd.try_clone().or_fail("a folder cannot be opened twice")?,
            path: self.path.clone(),
        };
        for name in names {
            match folder.folder(name)? {
                Some(next) => folder = next,
                None => return Ok(None),
            }
        }
        Ok(Some(folder))
    }

    /// Opens a regular file in it, `None` if there is nothing of this name.
    ///
    /// # Errors
    ///
    /// For an entry that is no regular file: a link, a FIFO, a device.
    pub fn file(&self, name: impl AsRef<OsStr>) -> Result<Option<(File, Facts)>> {
        let name = checked(name.as_ref())?;
        // Opening a FIFO would wait for its other end without this flag.
        let flags =
            OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let is_none =
            || LifecycleError::generic(format!("{} is no regular file", self.path.join(name).display()));
        let fd = match openat(&self.fd, name, flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::ENOENT) => return Ok(None),
            Err(Errno::ELOOP | Errno::ENXIO) => return Err(is_none()),
            Err(error) => return Err(error).or_fail(self.failed(name)),
        };
        let facts = Facts::of(&fstat(&fd).or_fail(self.failed(name))?);
        match facts.kind {
            Kind::File => Ok(Some((File::from(fd), facts))),
            _ => Err(is_none()),
        }
    }

    /// Reads a file of bounded size as text, `None` if it is absent.
    pub fn text(&self, name: impl AsRef<OsStr>) -> Result<Option<String>> {
        let name = name.as_ref();
        let Some((file, _)) = self.file(name)? else { return Ok(None) };
        bounded_text(&self.path.join(name).display().to_string(), file).map(Some)
    }

    /// Reads a TOML file, `None` if it is absent.
    pub fn toml<T: DeserializeOwned>(&self, name: impl AsRef<OsStr>) -> Result<Option<T>> {
        let name = name.as_ref();
        let text = self.text(name)?;
        text.map(|text| parse(&self.path.join(name).display().to_string(), &text)).transpose()
    }

    pub fn facts(&self, name: &OsStr) -> Result<Facts> {
        let stat = fstatat(&self.fd, name, AtFlags::AT_SYMLINK_NOFOLLOW).or_fail(self.failed(name))?;
        Ok(Facts::of(&stat))
    }

    pub fn own_facts(&self) -> Result<Facts> {
        Ok(Facts::of(&fstat(&self.fd).or_fail(self.failed(OsStr::new("")))?))
    }

    pub fn link_target(&self, name: &OsStr) -> Result<OsString> {
        readlinkat(&self.fd, name).or_fail(self.failed(name))
    }

    /// Names in it, sorted by their bytes.
    pub fn names(&self) -> Result<Vec<OsString>> {
        let failed = self.failed(OsStr::new(""));
        let mut dir = Dir::openat(&self.fd, ".", FOLDER, Mode::empty()).or_fail(&failed)?;
        let mut names = Vec::new();
        for entry in dir.iter() {
            let name = entry.or_fail(&failed)?.file_name().to_bytes().to_vec();
            if name != b"." && name != b".." {
                names.push(OsString::from_vec(name));
            }
            if names.len() > ENTRIES_MAX {
                return Err(format!("more than {ENTRIES_MAX} entries")).or_fail(&failed);
            }
        }
        names.sort_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
        Ok(names)
    }

    /// Names in it that are text; others can be no layers.
    pub fn text_names(&self) -> Result<Vec<String>> {
        Ok(self.names()?.into_iter().filter_map(|name| name.into_string().ok()).collect())
    }

    /// Makes a folder that was not there, for this process alone.
    pub fn make(&self, name: &str) -> Result<Self> {
        let name = checked(name.as_ref())?;
        let failed = format!("{} cannot be made", self.path.join(name).display());
        mkdirat(&self.fd, name, Mode::S_IRWXU).or_fail(&failed)?;
        self.folder(name)?.ok_or_else(|| LifecycleError::generic(failed))
    }

    /// Makes a file in it, or empties the one that is there.
    pub fn create(&self, name: &str) -> Result<File> {
        let name = checked(name.as_ref())?;
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_TRUNC | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let failed = format!("{} cannot be made", self.path.join(name).display());
        openat(&self.fd, name, flags, Mode::from_bits_truncate(0o644)).map(File::from).or_fail(failed)
    }

    /// A path that leads to this very folder, whatever its name means by now.
    pub fn pinned_path(&self) -> PathBuf {
        use std::os::fd::AsRawFd;
        PathBuf::from(format!("/proc/self/fd/{}", self.fd.as_raw_fd()))
    }

    /// Removes an entry with all below it, if it is there.
    pub fn remove(&self, name: &str) -> Result<()> {
        let name = checked(name.as_ref())?;
        let path = self.pinned_path().join(name);
        let failed = format!("{} cannot be removed", self.path.join(name).display());
        match self.facts(name) {
            Err(_) => Ok(()),
            // The standard library's removal follows no link and is safe against those that change under it.
            Ok(Facts { kind: Kind::Folder, .. }) => std::fs::remove_dir_all(path).or_fail(failed),
            Ok(_) => std::fs::remove_file(path).or_fail(failed),
        }
    }
}

impl AsFd for Folder {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A single name: neither a path nor one that leads up.
fn checked(name: &OsStr) -> Result<&OsStr> {
    match matches!(name.as_bytes(), b"" | b"." | b"..") || name.as_bytes().contains(&b'/') {
        true => Err(LifecycleError::generic(format!("{} is not the name of a file", name.display()))),
        false => Ok(name),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_are_not_followed_to_files_or_folders() {
        let dir = tempfile::tempdir().expect("a folder");
        symlink("/etc", dir.path().join("folder")).expect("a link");
        symlink("/etc/passwd", dir.path().join("file")).expect("a link");
        let folder = Folder::open(dir.path()).expect("open");

        assert!(folder.folder("folder").err().expect("refused").message.contains("no folder"));
        assert!(folder.file("file").expect_err("refused").message.contains("no regular file"));
        assert!(Folder::open(&dir.path().join("folder")).is_err());
    }

    #[test]
    fn a_fifo_is_refused_without_waiting_for_its_writer() {
        let dir = tempfile::tempdir().expect("a folder");
        nix::unistd::mkfifo(&dir.path().join("a.toml"), Mode::S_IRWXU).expect("a FIFO");
        let folder = Folder::open(dir.path()).expect("open");

        assert!(folder.text("a.toml").expect_err("refused").message.contains("no regular file"));
    }

    #[test]
    fn paths_are_no_names() {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = Folder::open(dir.path()).expect("open");

        for name in ["..", ".", "", "a/b", "/etc"] {
            assert!(folder.file(name).is_err() && folder.folder(name).is_err(), "{name:?}");
            assert!(
                folder.create(name).is_err() && folder.make(name).is_err() && folder.remove(name).is_err()
            );
        }
        assert!(folder.folder("absent").expect("no error").is_none());
    }

    #[test]
    fn large_files_are_not_read_as_text() {
        let dir = tempfile::tempdir().expect("a folder");
        File::create(dir.path().join("a")).and_then(|file| file.set_len(5 << 20)).expect("a file");

        let error = Folder::open(dir.path()).and_then(|folder| folder.text("a"));

        assert!(error.expect_err("refused").message.contains("larger than"));
    }
}
