//! Copies of repositories where they outlive this builder's disk: kept at the end of each push, fetched where
//! a repository is missing.

use std::path::Path;
use std::process::Output;
use std::time::Duration;

use domain::AppName;
use engine::Bundles;

use crate::Builder;
use crate::git::{Git, Quarantine};
use crate::pushes::Push;

/// Longest time that git may take to write or to read a bundle.
const BUNDLE_MAX: Duration = Duration::from_secs(600);

/// What is needed to copy; without `bundles` the disk is all there is.
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
        self.run(
            repository,
            &["bundle".as_ref(), "create".as_ref(), "--quiet".as_ref(), path, "--all".as_ref()],
        )
        .await?;
        bundles.store(app, id, &bundle).await.map_err(std::io::Error::other)
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
        let all = "+refs/*:refs/*".as_ref();
        self.run(repository, &["fetch".as_ref(), "--quiet".as_ref(), bundle.as_os_str(), all]).await?;
        std::fs::remove_file(&bundle)?;
        self.point_head(repository).await?;
        tracing::info!(%app, "fetched the copy of a repository that was not here");
        Ok(())
    }

    /// A clone checks out what HEAD names; the next push moves it to its own branch.
    async fn point_head(&self, repository: &Path) -> std::io::Result<()> {
        let newest =
            ["for-each-ref", "--count=1", "--sort=-committerdate", "--format=%(refname)", "refs/heads"];
        let branch = self.run(repository, &newest.map(std::ffi::OsStr::new)).await?;
        let branch = String::from_utf8_lossy(&branch.stdout).trim().to_owned();
        if !branch.is_empty() {
            self.run(repository, &["symbolic-ref", "HEAD", &branch].map(std::ffi::OsStr::new)).await?;
        }
        Ok(())
    }

    async fn run(&self, repository: &Path, arguments: &[&std::ffi::OsStr]) -> std::io::Result<Output> {
        let mut command = self.git.about(repository, &Quarantine::new(), arguments);
        let output =
            tokio::time::timeout(BUNDLE_MAX, command.output()).await.map_err(std::io::Error::other)??;
        if output.status.success() {
            return Ok(output);
        }
        Err(std::io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
    }
}
