//! `slug submodules`: fetches the submodules of the source, before anything of the source runs.
//!
//! The content is untrusted: git gets no configuration, no credential and no hook, and speaks https alone; the files
//! are unpacked below their folder through no link; number, bytes, depth and time are bounded. Whoever made the source
//! asked for these files, so one that cannot be fetched fails the build.

mod files;
mod git;

use std::collections::VecDeque;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use source::submodules::{SUBMODULE_DEPTH_MAX, SUBMODULES_FILE, SUBMODULES_MAX, Submodule, Unfetched, Why};

use source::urls::without_credentials;

use super::output;
use crate::failure::{OrFailure, SlugError};
use files::Room;
use git::{Git, GitError};

const LIST_BYTES_MAX: u64 = 1 << 20;
/// Bytes fetched over the network, for all submodules together.
const FETCHED_BYTES_MAX: u64 = 1 << 30;
const SECONDS_MAX: u64 = 300;

/// Fetches what the workspace's list names into the workspace's source.
pub fn fetch(workspace: &Path) -> Result<(), SlugError> {
    let wanted = wanted(workspace)?;
    if wanted.is_empty() {
        return Ok(());
    }
    output::title("Fetching submodules");
    let scratch = Scratch::new()?;
    let mut fetching = Fetching {
        source: workspace.join("source"),
        git: Git::new(&scratch.0, FETCHED_BYTES_MAX, SECONDS_MAX),
        room: Room::default(),
        number: 0,
    };
    let mut waiting: VecDeque<_> = wanted.into_iter().map(|submodule| (submodule, 1)).collect();
    while let Some((submodule, depth)) = waiting.pop_front() {
        let within = fetching.fetch(&submodule, depth)?;
        waiting.extend(within.into_iter().map(|submodule| (submodule, depth + 1)));
    }
    Ok(())
}

fn wanted(workspace: &Path) -> Result<Vec<Submodule>, SlugError> {
    let path = workspace.join(SUBMODULES_FILE);
    let failed = || format!("read {}", path.display());
    let file = match fs::File::open(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        opened => opened.or_fail(failed())?,
    };
    let mut json = Vec::new();
    file.take(LIST_BYTES_MAX).read_to_end(&mut json).or_fail(failed())?;
    serde_json::from_slice(&json).map_err(|error| SlugError::data(format!("{}: {error}", failed())))
}

struct Fetching<'a> {
    source: PathBuf,
    git: Git<'a>,
    room: Room,
    number: usize,
}

impl Fetching<'_> {
    /// Fetches one; gives back those that are within it.
    fn fetch(&mut self, submodule: &Submodule, depth: usize) -> Result<Vec<Submodule>, SlugError> {
        let Submodule { path, commit, url } = submodule;
        let shown = without_credentials(url);
        self.number += 1;
        if self.number > SUBMODULES_MAX {
            return Err(SlugError::data(format!(
                "the source has more than {SUBMODULES_MAX} submodules, with those within submodules; have fewer"
            )));
        }
        let Some(folder) = files::folder(&self.source, path).or_fail(format!("submodule {path}"))? else {
            output::line(&format!("{path} is left out of the source by export-ignore"));
            return Ok(Vec::new());
        };
        output::line(&format!("{path} from {shown} at {}", commit.get(..8).unwrap_or(commit)));
        let failed = |error: GitError| could_not_fetch(submodule, &error);
        let repository = self.git.fetch(url, commit).map_err(failed)?;
        let unpacked = self.git.archive(&repository, commit, |archive| self.room.unpack(archive, &folder));
        let links = unpacked.and_then(|()| self.git.links(&repository, commit)).map_err(failed)?;
        let modules =
            if links.is_empty() { Default::default() } else { self.git.modules(&repository, commit) };
        let _ = fs::remove_dir_all(&repository);
        let mut within = Vec::new();
        for link in links {
            let found = match modules.submodule(&link, Some(url)) {
                Ok(_) if depth == SUBMODULE_DEPTH_MAX => Err(Unfetched { path: link.path, why: Why::Depth }),
                found => found,
            };
            match found {
                Ok(found) => within.push(Submodule { path: format!("{path}/{}", found.path), ..found }),
                Err(Unfetched { path: of_link, why }) => {
                    let path = format!("{path}/{of_link}");
                    output::warning(&Unfetched { path, why }.to_string());
                }
            }
        }
        Ok(within)
    }
}

fn could_not_fetch(submodule: &Submodule, error: &GitError) -> SlugError {
    let Submodule { path, commit: _, url } = submodule;
    let shown = without_credentials(url);
    let reason = error.to_string().replace(url, &shown);
    SlugError::unavailable(format!(
        "Submodule {path} could not be fetched from {shown}: {reason}; mend it, or leave its folder empty with \
         `update = none` in .gitmodules"
    ))
}

/// A folder for what git fetches; it goes when this does.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self, SlugError> {
        let folder = std::env::temp_dir().join(format!("submodules-{}", std::process::id()));
        fs::create_dir(&folder).or_fail(format!("create {}", folder.display()))?;
        Ok(Self(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
