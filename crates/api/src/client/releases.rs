//! Releases and going back to one.

use super::{Client, ClientError, part};
use crate::Page;
use crate::releases::{Release, Rollback, RolledBack};

impl Client {
    /// Lists releases of an app, newest first, failed ones included, at most `limit`.
    pub fn releases(&self, app: &str, limit: i64) -> Result<Page<Release>, ClientError> {
        self.get(&format!("/v2/apps/{}/releases/?limit={limit}", part(app)))
    }

    /// Fetches a release by its number.
    pub fn release(&self, app: &str, version: u64) -> Result<Release, ClientError> {
        self.get(&format!("/v2/apps/{}/releases/v{version}/", part(app)))
    }

    /// Makes a release with the content of an older one, by default the one before the current; returns when it is
    /// deployed.
    ///
    /// # Errors
    ///
    /// [`ClientError::Status`] with 400 for a release that cannot be the target (docs/spec/api.md 4.9).
    pub fn rollback(&self, app: &str, version: Option<u64>) -> Result<RolledBack, ClientError> {
        let path = format!("/v2/apps/{}/releases/rollback/", part(app));
        match version {
            Some(_) => self.post(&path, &Rollback { version }),
            None => self.post_empty(&path),
        }
    }
}
