//! Histories that end early, as those of shallow clones do.
//!
//! git stores the ends in the repository's file `shallow`, and pushes build on them as on other commits. One case
//! fails: a client with the whole history assumes that the platform has everything behind a commit that it has,
//! and omits objects that a merge with something older needs. Then the shallow commits are dropped, so that the
//! next push brings all objects.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::git::{Git, Quarantine};
use crate::limits::GitTask;

/// Variable that names git's file of shallow commits.
pub(crate) const SHALLOW_VARIABLE: &str = "GIT_SHALLOW_FILE";
/// File in which git keeps the ends of history in a repository.
const ENDS: &str = "shallow";
/// Ends that one question to git names.
const ENDS_AT_ONCE: usize = 500;
/// Longest time that git may take to find what ends early.
const SEARCH_MAX: Duration = Duration::from_secs(60);
/// Message for a push that needs history which the platform lacks.
pub(crate) const DROPPED: &str = "what the platform has of this app came from a shallow clone and lacks history that this push builds on; it is \
     dropped now, and the app runs on: push again, which brings all of it";

/// File in which git keeps the ends of a shallow clone's history until the push is accepted: a temporary file that
/// exists while the hook runs (`setup_temporary_shallow` in git's shallow.c).
pub(crate) fn pushed_ends(repository: &Path) -> Option<(String, PathBuf)> {
    let entries = std::fs::read_dir(repository).ok()?.flatten();
    let is_it = |name: &OsStr| name.to_str().is_some_and(|name| name.starts_with("shallow_"));
    let found = entries.filter(|entry| is_it(&entry.file_name())).map(|entry| entry.path()).next();
    found.map(|path| (SHALLOW_VARIABLE.to_owned(), path))
}

/// File with the ends of the repository's histories, if any ends early.
pub(crate) fn ends_file(repository: &Path) -> Option<PathBuf> {
    Some(repository.join(ENDS)).filter(|path| path.is_file())
}

/// Returns true if git's last output says that it refused a push because objects were missing.
pub(crate) fn lacks_objects(said: &[u8]) -> bool {
    let said = String::from_utf8_lossy(said);
    let has = |words: &str| said.contains(words);
    has("object of unexpected type")
        || has("did not receive expected object")
        || has("missing necessary objects")
}

/// Drops the refs whose history ends early. Only under the app's lock.
pub(crate) async fn drop_cut_refs(git: &Git, repository: &Path) -> io::Result<()> {
    let Some(file) = ends_file(repository) else { return Ok(()) };
    let ends = std::fs::read_to_string(&file)?;
    let ends: Vec<_> = ends.lines().map(|id| format!("--contains={id}")).collect();
    for some in ends.chunks(ENDS_AT_ONCE) {
        let words =
            ["for-each-ref", "--format=%(refname)"].into_iter().chain(some.iter().map(String::as_str));
        for name in run(git, repository, &words.collect::<Vec<_>>()).await?.lines() {
            run(git, repository, &["update-ref", "-d", name]).await?;
        }
    }
    std::fs::remove_file(file)
}

async fn run(git: &Git, repository: &Path, words: &[&str]) -> io::Result<String> {
    let command = git.about(GitTask::Maintain, repository, &Quarantine::new(), words);
    let output = command.output(SEARCH_MAX).await?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}
