//! Copies of repositories where they outlive this builder's disk: kept at the end of each push, fetched where
//! a repository is missing.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use domain::AppName;
use engine::Bundles;

use crate::Builder;
use crate::git::{Git, OWN_REFS, Quarantine};
use crate::limits::GitTask;
use crate::pushes::Push;
use crate::shallow::ends_file;

/// Longest time that git may take to write or to read a bundle.
const BUNDLE_MAX: Duration = Duration::from_secs(600);

/// Context of copies; without `bundles` there is only the disk.
pub(crate) struct Copies<'a> {
    pub git: &'a Git,
    pub bundles: Option<&'a dyn Bundles>,
}

impl Builder {
    pub(crate) fn copies(&self) -> Copies<'_> {
        Copies { git: &self.git, bundles: self.bundles.as_deref() }
    }

    /// Keeps a copy of what was pushed. That it cannot be kept fails no push: the next one keeps all.
    pub(crate) async fn keep_copy(&self, push: &Push) {
        let id = push.repository.file_stem().unwrap_or_default().to_string_lossy();
        if let Err(error) = self.copies().keep(&push.app, &id, &push.repository).await {
            tracing::warn!(app = %push.app, %error, "cannot keep a copy of the pushed source");
        }
    }
}

impl Copies<'_> {
    async fn keep(&self, app: &AppName, id: &str, repository: &Path) -> std::io::Result<()> {
        let Some(bundles) = self.bundles else { return Ok(()) };
        let folder = tempfile::Builder::new()
            .prefix(".copy-")
            .tempdir_in(repository.parent().unwrap_or(repository))?;
        let bundle = folder.path().join("source.bundle");
        let path = bundle.as_os_str();
        self.note_ends(repository).await?;
        self.run(
            repository,
            &["bundle".as_ref(), "create".as_ref(), "--quiet".as_ref(), path, "--all".as_ref()],
        )
        .await?;
        bundles.store(app, id, &bundle).await.map_err(std::io::Error::other)
    }

    /// Puts the ends of an incomplete history into the copy, which holds nothing but objects and refs.
    async fn note_ends(&self, repository: &Path) -> std::io::Result<()> {
        let name = ends_ref();
        let Some(ends) = ends_file(repository) else {
            return self.run(repository, &["update-ref", "-d", &name].map(OsStr::new)).await.map(drop);
        };
        let write = ["hash-object".as_ref(), "-w".as_ref(), "--no-filters".as_ref(), ends.as_os_str()];
        let id = text(&self.run(repository, &write).await?);
        self.run(repository, &["update-ref", &name, &id].map(OsStr::new)).await.map(drop)
    }

    /// Git must know the ends of the copy's history before it accepts the refs.
    async fn restore_ends(&self, repository: &Path, bundle: &Path) -> std::io::Result<()> {
        let name = ends_ref();
        let list = ["bundle".as_ref(), "list-heads".as_ref(), bundle.as_os_str(), name.as_ref()];
        if text(&self.run(repository, &list).await?).is_empty() {
            return Ok(());
        }
        let same = format!("{name}:{name}");
        let fetch = ["fetch".as_ref(), "--quiet".as_ref(), bundle.as_os_str(), same.as_ref()];
        self.run(repository, &fetch).await?;
        let ends = self.run(repository, &["cat-file", "blob", &name].map(OsStr::new)).await?;
        std::fs::write(repository.join("shallow"), ends.stdout)
    }

    /// Fills a repository that was just made with what was kept of it, if anything was.
    pub(crate) async fn restore(
        &self,
        app: &AppName,
        id: &str,
        repository: &Path,
        folder: &Path,
    ) -> std::io::Result<()> {
        let Some(bundles) = self.bundles else { return Ok(()) };
        let bundle = folder.join("source.bundle");
        if !bundles.fetch(app, id, &bundle).await.map_err(std::io::Error::other)? {
            return Ok(());
        }
        self.restore_ends(repository, &bundle).await?;
        let all = "+refs/*:refs/*".as_ref();
        self.run(repository, &["fetch".as_ref(), "--quiet".as_ref(), bundle.as_os_str(), all]).await?;
        self.point_head(repository, &bundle).await?;
        std::fs::remove_file(&bundle)?;
        tracing::info!(%app, "fetched the copy of a repository that was not here");
        Ok(())
    }

    /// A clone checks out what HEAD names, the branch that was deployed last: one of the commit that HEAD was at, or
    /// else the newest.
    async fn point_head(&self, repository: &Path, bundle: &Path) -> std::io::Result<()> {
        let list = ["bundle".as_ref(), "list-heads".as_ref(), bundle.as_os_str(), "HEAD".as_ref()];
        let head = text(&self.run(repository, &list).await?);
        let mut branch = String::new();
        if let Some((id, _)) = head.split_once(' ') {
            branch = self.newest_branch(repository, &[&format!("--points-at={id}")]).await?;
        }
        if branch.is_empty() {
            branch = self.newest_branch(repository, &[]).await?;
        }
        if !branch.is_empty() {
            self.run(repository, &["symbolic-ref", "HEAD", &branch].map(OsStr::new)).await?;
        }
        Ok(())
    }

    async fn newest_branch(&self, repository: &Path, filters: &[&str]) -> std::io::Result<String> {
        let newest =
            ["for-each-ref", "--count=1", "--sort=-committerdate", "--format=%(refname)", "refs/heads"];
        let words: Vec<_> = newest.iter().chain(filters).map(OsStr::new).collect();
        Ok(text(&self.run(repository, &words).await?))
    }

    async fn run(&self, repository: &Path, arguments: &[&OsStr]) -> std::io::Result<Output> {
        let command = self.git.about(GitTask::Maintain, repository, &Quarantine::new(), arguments);
        let output = command.output(BUNDLE_MAX).await?;
        if output.status.success() {
            return Ok(output);
        }
        Err(std::io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
    }
}

/// The ref whose blob says where an incomplete history ends, as git's file `shallow` does.
fn ends_ref() -> String {
    format!("{OWN_REFS}/shallow")
}

/// Output of git without its last line break.
fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
