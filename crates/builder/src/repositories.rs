//! The bare repositories, one for each app that was ever pushed to. A cache: losing one costs a longer push.
//!
//! A repository belongs to an app's id, not to its name: an app that is destroyed and made again under
//! its name must neither show the old source nor find its first push "up-to-date".

use std::fs;
use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};

use domain::AppName;

use crate::BuilderError;
use crate::copies::Copies;
use crate::host_keys::make_private_folder;
use crate::limits::GitTask;

/// Used as the id where the controller sends none.
const NO_ID: &str = "0";

/// `<root>/<app>/<id>.git`.
pub(crate) struct Repositories {
    root: PathBuf,
}

impl Repositories {
    pub(crate) fn new(root: PathBuf) -> Result<Self, BuilderError> {
        make_private_folder(&root)?;
        Ok(Self { root })
    }

    /// The app's repository, made where there is none, with what was kept of it elsewhere. Those of earlier
    /// apps of this name are removed.
    pub(crate) async fn open(
        &self,
        copies: &Copies<'_>,
        app: &AppName,
        id: &str,
    ) -> std::io::Result<PathBuf> {
        let folder = self.root.join(app.as_str());
        let repository = folder.join(format!("{}.git", id_part(id)?));
        if !repository.join("HEAD").is_file() {
            fs::create_dir_all(&folder)?;
            create(copies, &folder, &repository, (app, id)).await?;
        }
        remove_others(&folder, &repository);
        Ok(repository)
    }

    /// Removes all repositories under the app's name.
    pub(crate) fn remove(&self, app: &AppName) -> std::io::Result<()> {
        fs::remove_dir_all(self.root.join(app.as_str()))
    }

    /// The repositories under the app's name; more than one only until the next push.
    pub(crate) fn of(&self, app: &AppName) -> Vec<PathBuf> {
        repositories_in(&self.root.join(app.as_str()))
    }

    /// The apps that have a repository here.
    pub(crate) fn apps(&self) -> Vec<AppName> {
        let entries = fs::read_dir(&self.root).into_iter().flatten().flatten();
        entries.filter_map(|entry| AppName::parse(entry.file_name().to_str()?).ok()).collect()
    }
}

/// Removes what a push that was killed left: quarantines, half packs, locks. Only under the app's lock.
pub(crate) fn remove_orphans(repository: &Path) {
    let objects = repository.join("objects");
    remove_where(&objects, |name| name.starts_with("tmp_objdir-") || name.starts_with("incoming-"));
    remove_where(&objects.join("pack"), |name| name.starts_with("tmp_") || name.starts_with(".tmp-"));
    remove_where(repository, |name| name.ends_with(".lock") || name.starts_with("shallow_"));
    remove_locks(&repository.join("refs"));
}

/// Made beside its place and moved there, so that two makers cannot disturb each other.
async fn create(
    copies: &Copies<'_>,
    folder: &Path,
    repository: &Path,
    (app, id): (&AppName, &str),
) -> std::io::Result<()> {
    let git = copies.git;
    let unfinished = tempfile::Builder::new().prefix(".new-").tempdir_in(folder)?;
    let made = unfinished.path().join("repository.git");
    let command = git.command(
        GitTask::Read,
        ["init".as_ref(), "--quiet".as_ref(), "--bare".as_ref(), "--template=".as_ref(), made.as_os_str()],
    );
    let output = git.answer(command).await?;
    if !output.status.success() {
        return Err(Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    copies.restore(app, id, &made, unfinished.path()).await?;
    match fs::rename(&made, repository) {
        Err(_) if repository.join("HEAD").is_file() => Ok(()),
        moved => moved,
    }
}

fn remove_others(folder: &Path, repository: &Path) {
    for other in repositories_in(folder).iter().filter(|path| *path != repository) {
        if let Err(error) = fs::remove_dir_all(other) {
            tracing::warn!(%error, path = %other.display(), "cannot remove an old repository");
        }
    }
}

fn repositories_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "git")).collect()
}

fn remove_where(folder: &Path, is_orphan: impl Fn(&str) -> bool) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_str().is_some_and(&is_orphan) {
            let path = entry.path();
            let _ = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        }
    }
}

fn remove_locks(refs: &Path) {
    for entry in fs::read_dir(refs).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_locks(&entry.path());
        }
    }
    remove_where(refs, |name| name.ends_with(".lock"));
}

/// The id as part of a path; it comes from the controller, but a path is a path.
fn id_part(id: &str) -> std::io::Result<&str> {
    let id = if id.is_empty() { NO_ID } else { id };
    let is_well = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if id.len() <= 64 && id.bytes().all(is_well) {
        Ok(id)
    } else {
        Err(Error::new(ErrorKind::InvalidData, "the controller's id of the app is not usable"))
    }
}
