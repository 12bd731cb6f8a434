//! The folder that packs keep between builds of one app, and whether a build has changed it.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};

use super::output;
use crate::failure::{OrFailure, SlugError};

/// `CACHE_DIR` of a build: the app's own, or a passing one where caching is off.
pub struct CacheDir {
    pub dir: PathBuf,
    /// State at the start; `None` when nothing is kept.
    before: Option<FolderSummary>,
}

/// Content of a folder.
#[derive(Debug, PartialEq, Eq)]
struct FolderSummary {
    /// Over names, sizes, times and modes: reading gigabytes of content would cost more than it is worth.
    fingerprint: u64,
    files: u64,
    bytes: u64,
}

impl CacheDir {
    /// Takes the kept folder if it is there and can be written, else a passing one in `scratch`.
    pub fn open(kept: &Path, scratch: &Path, wanted: bool) -> Result<Self, SlugError> {
        if wanted && kept.is_dir() {
            if access(kept, AccessFlags::W_OK | AccessFlags::X_OK).is_ok() {
                return Self::restore(kept);
            }
            output::warning("the cache cannot be written, building without it");
        }
        let dir = scratch.join("cache");
        fs::create_dir_all(&dir).or_fail(format!("create {}", dir.display()))?;
        Ok(Self { dir, before: None })
    }

    fn restore(kept: &Path) -> Result<Self, SlugError> {
        output::title("Restoring cache");
        let before = survey(kept).or_fail(format!("read {}", kept.display()))?;
        if before.files == 0 {
            output::line("nothing is kept yet: the first build fills it");
        } else {
            output::line(&format!("{} in {} files", output::human(before.bytes), before.files));
        }
        Ok(Self { dir: kept.to_owned(), before: Some(before) })
    }

    /// Says what will be kept.
    pub fn close(&self) -> Result<(), SlugError> {
        let Some(before) = &self.before else { return Ok(()) };
        output::title("Keeping cache for the next build");
        let after = survey(&self.dir).or_fail(format!("read {}", self.dir.display()))?;
        if after.files == 0 {
            output::line("nothing to keep");
        } else if after == *before {
            output::line("unchanged");
        } else {
            output::line(&format!("{} in {} files", output::human(after.bytes), after.files));
        }
        Ok(())
    }
}

fn survey(root: &Path) -> io::Result<FolderSummary> {
    let mut survey = FolderSummary { fingerprint: 0, files: 0, bytes: 0 };
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if metadata.is_dir() {
                folders.push(entry.path());
                continue;
            }
            let mut hasher = DefaultHasher::new();
            (entry.path(), metadata.len(), metadata.mtime(), metadata.mtime_nsec(), metadata.mode())
                .hash(&mut hasher);
            // Added up, so that the order in which the file system lists them does not matter.
            survey.fingerprint = survey.fingerprint.wrapping_add(hasher.finish());
            survey.files += 1;
            survey.bytes += metadata.len();
        }
    }
    Ok(survey)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_added_or_removed_file_changes_the_survey() {
        let dir = tempfile::tempdir().expect("dir");
        fs::create_dir(dir.path().join("deep")).expect("folder");
        let empty = survey(dir.path()).expect("survey");
        fs::write(dir.path().join("deep/file"), "one").expect("file");
        let added = survey(dir.path()).expect("survey");
        fs::write(dir.path().join("deep/file"), "three").expect("file");
        let changed = survey(dir.path()).expect("survey");

        assert_eq!((empty.files, added.files, changed.bytes), (0, 1, 5));
        assert_ne!(added, changed);
        assert_eq!(changed, survey(dir.path()).expect("survey"));
    }

    #[test]
    fn without_a_kept_folder_packs_get_a_passing_one() {
        let dir = tempfile::tempdir().expect("dir");

        let cache = CacheDir::open(&dir.path().join("absent"), dir.path(), true).expect("cache");

        assert!(cache.dir.is_dir());
        assert!(cache.before.is_none());
    }
}
