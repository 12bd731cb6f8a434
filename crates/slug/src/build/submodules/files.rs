//! The files of a submodule, on their way into its folder.

use std::fs;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

/// Bounds of all submodules together; those of a source (`docs/limits.md`).
const FILES_MAX: u64 = 500_000;
const BYTES_MAX: u64 = 4 << 30;

/// The folder of a submodule, of which every part is a folder and no link; `None` where it is not there.
///
/// Nothing else runs while submodules are fetched, so what is looked at stays as it is.
pub fn folder(source: &Path, path: &str) -> io::Result<Option<PathBuf>> {
    let mut folder = source.to_owned();
    for part in Path::new(path).components() {
        let Component::Normal(part) = part else {
            return Err(io::Error::other("its path leads out of the source"));
        };
        folder.push(part);
        match fs::symlink_metadata(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            found => {
                if !found?.is_dir() {
                    return Err(io::Error::other("its path is no folder of the source"));
                }
            }
        }
    }
    if folder == source { Err(io::Error::other("it has no path")) } else { Ok(Some(folder)) }
}

/// Remaining limits.
#[derive(Debug)]
pub struct Room {
    files: u64,
    bytes: u64,
}

impl Default for Room {
    fn default() -> Self {
        Self { files: FILES_MAX, bytes: BYTES_MAX }
    }
}

impl Room {
    /// Unpacks what `git archive` writes. Links are made as they are and never followed.
    pub fn unpack(&mut self, archive: impl Read, folder: &Path) -> io::Result<()> {
        let mut archive = tar::Archive::new(Counted { archive, room_bytes: &mut self.bytes });
        for entry in archive.entries()? {
            let mut entry = entry?;
            if entry.header().entry_type().is_pax_global_extensions() {
                continue;
            }
            self.files = self.files.checked_sub(1).ok_or_else(|| {
                io::Error::other(format!("the submodules have more than {FILES_MAX} files and folders"))
            })?;
            let path = entry.path()?.into_owned();
            let is_git =
                |part: Component<'_>| part.as_os_str().to_string_lossy().eq_ignore_ascii_case(".git");
            if path.components().any(is_git) || !entry.unpack_in(folder)? {
                return Err(io::Error::other(format!(
                    "it has the path {}, which is not unpacked",
                    path.display()
                )));
            }
        }
        Ok(())
    }
}

/// Reads no more than there is room for.
struct Counted<'a, R> {
    archive: R,
    room_bytes: &'a mut u64,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.archive.read(buffer)?;
        *self.room_bytes = self.room_bytes.checked_sub(count as u64).ok_or_else(|| {
            io::Error::other(format!("the submodules are larger than {} MiB unpacked", BYTES_MAX >> 20))
        })?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn archive(files: &[&str]) -> Vec<u8> {
        let mut archive = tar::Builder::new(Vec::new());
        for path in files {
            let mut header = tar::Header::new_gnu();
            header.as_gnu_mut().expect("it is GNU").name[..path.len()].copy_from_slice(path.as_bytes());
            header.set_size(1);
            header.set_mode(0o644);
            header.set_cksum();
            archive.append(&header, &b"x"[..]).expect("memory takes it");
        }
        archive.into_inner().expect("memory takes it")
    }

    #[test]
    fn a_folder_is_reached_through_no_link_and_lies_in_the_source() {
        let outside = tempfile::tempdir().expect("a folder");
        let source = outside.path().join("source");
        fs::create_dir_all(source.join("lib/a")).expect("a folder");
        fs::write(source.join("file"), "x").expect("a file");
        symlink(outside.path(), source.join("up")).expect("a link");
        symlink("lib", source.join("near")).expect("a link");

        assert_eq!(folder(&source, "lib/a").expect("it is there"), Some(source.join("lib/a")));
        assert_eq!(folder(&source, "lib/b").expect("nothing is wrong"), None);
        for bad in ["", ".", "..", "../x", "lib/../..", "/etc", "up", "up/source", "near/a", "file"] {
            assert!(folder(&source, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn no_file_leaves_its_folder_and_none_is_gits() {
        let outside = tempfile::tempdir().expect("a folder");
        let folder = outside.path().join("lib");
        fs::create_dir(&folder).expect("a folder");
        symlink("..", folder.join("up")).expect("a link");

        for bad in ["../harm", "a/../../harm", ".git/hooks/x", "a/.GIT", "up/harm"] {
            assert!(Room::default().unpack(&archive(&[bad])[..], &folder).is_err(), "{bad}");
        }
        assert!(!outside.path().join("harm").exists());
        Room::default().unpack(&archive(&["a/b", ".gitignore"])[..], &folder).expect("it is taken");
        assert!(folder.join("a/b").is_file() && folder.join(".gitignore").is_file());
    }

    #[test]
    fn files_and_bytes_are_bounded_over_all_submodules() {
        let folder = tempfile::tempdir().expect("a folder");
        let two = archive(&["a", "b"]);
        let said = |mut room: Room| room.unpack(&two[..], folder.path()).expect_err("too much").to_string();

        assert!(said(Room { files: 1, bytes: BYTES_MAX }).contains("more than 500000 files"));
        assert!(said(Room { files: 9, bytes: 1_024 }).contains("larger than 4096 MiB"));
        let mut room = Room { files: 3, bytes: BYTES_MAX };
        room.unpack(&two[..], folder.path()).expect("there is room");
        assert_eq!(room.files, 1);
    }
}
