//! Releases and going back to one.

use super::{Client, ClientError, folder};
use crate::Page;
use crate::releases::{
    REBASE_PATH, RELEASE_PATH, RELEASES_PATH, ROLLBACK_PATH, Rebased, Release, Rollback, RolledBack,
    SBOM_PATH,
};

impl Client {
    /// Lists releases of an app, newest first, failed ones included, at most `limit`.
    pub fn releases(&self, app: &str, limit: i64) -> Result<Page<Release>, ClientError> {
        self.get(&format!("{}?limit={limit}", folder(RELEASES_PATH, [app])))
    }

    /// Fetches a release by its number.
    pub fn release(&self, app: &str, version: u64) -> Result<Release, ClientError> {
        self.get(&folder(RELEASE_PATH, [app, &format!("v{version}")]))
    }

    /// Fetches the software bill of materials of a release: a CycloneDX document.
    ///
    /// # Errors
    ///
    /// [`ClientError::Status`] with 404 for a release without a build, or whose image was removed.
    pub fn sbom(&self, app: &str, version: u64) -> Result<serde_json::Value, ClientError> {
        self.get(&folder(SBOM_PATH, [app, &format!("v{version}")]))
    }

    /// Puts the app's slug on the newest images of its stack; returns when that release is deployed.
    ///
    /// # Errors
    ///
    /// [`ClientError::Status`] with 400 for an app that has no slug.
    pub fn rebase(&self, app: &str) -> Result<Rebased, ClientError> {
        self.post_empty(&folder(REBASE_PATH, [app]))
    }

    /// Makes a release with the content of an older one, by default the one before the current; returns when it is
    /// deployed.
    ///
    /// # Errors
    ///
    /// [`ClientError::Status`] with 400 for a release that cannot be the target (docs/spec/api.md 4.9).
    pub fn rollback(&self, app: &str, version: Option<u64>) -> Result<RolledBack, ClientError> {
        let path = folder(ROLLBACK_PATH, [app]);
        match version {
            Some(_) => self.post(&path, &Rollback { version }),
            None => self.post_empty(&path),
        }
    }
}
