//! The folder that packs keep between builds of one app, and whether a build has changed it.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};

use super::output;
use crate::failure::{OrFailure, SlugError};

/// File of the cache with the value of `STACK` in the build that filled it.
const STACK_FILE: &str = ".stack";
/// Longest value that is read of it.
const STACK_BYTES_MAX: u64 = 256;
/// Stack of caches from before there was a choice.
const FIRST_STACK: &str = "bookworm";

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
    pub fn open(kept: &Path, scratch: &Path, wanted: bool, stack: Option<&str>) -> Result<Self, SlugError> {
        if wanted && kept.is_dir() {
            if access(kept, AccessFlags::W_OK | AccessFlags::X_OK).is_ok() {
                return Self::restore(kept, stack);
            }
            output::warning("the cache cannot be written, building without it");
        }
        let dir = scratch.join("cache");
        fs::create_dir_all(&dir).or_fail(format!("create {}", dir.display()))?;
        Ok(Self { dir, before: None })
    }

    fn restore(kept: &Path, stack: Option<&str>) -> Result<Self, SlugError> {
        output::title("Restoring cache");
        if let Some(stack) = stack {
            let former = empty_for(kept, stack).or_fail(format!("empty {}", kept.display()))?;
            if let Some(former) = former {
                output::line(&format!("emptied: it is of the stack {former}, this build is on {stack}"));
            }
        }
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

/// Empties a cache of another stack, whose programs and libraries do not fit; returns the name of that stack.
fn empty_for(kept: &Path, stack: &str) -> io::Result<Option<String>> {
    let file = kept.join(STACK_FILE);
    let mut former = String::new();
    match fs::File::open(&file) {
        Ok(open) => drop(open.take(STACK_BYTES_MAX).read_to_string(&mut former)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => former.push_str(FIRST_STACK),
        Err(error) => return Err(error),
    }
    let mut emptied = false;
    if former != stack {
        for entry in fs::read_dir(kept)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())?;
            } else {
                fs::remove_file(entry.path())?;
            }
            emptied = true;
        }
    }
    fs::write(&file, stack)?;
    Ok(emptied.then_some(former))
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
            if entry.path() == root.join(STACK_FILE) {
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
    fn a_cache_of_another_stack_is_emptied_and_one_of_the_same_stays() {
        let dir = tempfile::tempdir().expect("dir");
        let fill = || {
            fs::create_dir_all(dir.path().join("gems")).expect("folder");
            fs::write(dir.path().join("gems/native.so"), "x").expect("file");
        };
        let empty_for = |stack| empty_for(dir.path(), stack).expect("it can be emptied");
        let files = || survey(dir.path()).expect("survey").files;

        fill();
        assert_eq!(
            (empty_for("bookworm"), files()),
            (None, 1),
            "caches from before the choice are of bookworm"
        );
        assert_eq!((empty_for("trixie"), files()), (Some("bookworm".to_owned()), 0));
        fill();
        assert_eq!((empty_for("trixie"), files()), (None, 1));
    }

    #[test]
    fn without_a_kept_folder_packs_get_a_passing_one() {
        let dir = tempfile::tempdir().expect("dir");

        let cache = CacheDir::open(&dir.path().join("absent"), dir.path(), true, None).expect("cache");

        assert!(cache.dir.is_dir());
        assert!(cache.before.is_none());
    }
}
