//! Files that only their owner may read, replaced as a whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Replaces the file in order (written beside it, flushed, renamed, folder flushed), so that a death at any moment
/// leaves the old or the new one; when this returns, it survives everything but the disk. Where it fails, as on a full
/// disk, the old one stays and nothing is left beside it.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".new");
    let unfinished = Path::new(&unfinished);
    if let Err(error) = write(unfinished, content).and_then(|()| fs::rename(unfinished, path)) {
        let _ = fs::remove_file(unfinished);
        return Err(error);
    }
    flush_folder(path)
}

fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Makes what was renamed or removed in the file's folder last.
pub fn flush_folder(path: &Path) -> io::Result<()> {
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_replaced_stays_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("state");
        replace(&path, b"old").expect("written");
        // Not a file, so that nothing can take its name.
        let taken = folder.path().join("taken");
        fs::create_dir_all(taken.join("full")).expect("a folder");

        assert!(replace(&taken, b"new").is_err());

        assert_eq!(fs::read(&path).expect("the old one"), b"old");
        let mut left: Vec<_> = fs::read_dir(folder.path()).expect("the folder").flatten().collect();
        left.retain(|entry| entry.path() != path && entry.path() != taken);
        assert!(left.is_empty(), "{left:?}");
    }
}
