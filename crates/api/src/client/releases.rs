//! Releases and going back to one.

use super::{Client, ClientError, part};
use crate::Page;
use crate::releases::{Release, Rollback, RolledBack};

impl Client {
    pub fn releases(&self, app: &str, limit: i64) -> Result<Page<Release>, ClientError> {
        self.get(&format!("/v2/apps/{}/releases/?limit={limit}", part(app)))
    }

    pub fn release(&self, app: &str, version: u64) -> Result<Release, ClientError> {
        self.get(&format!("/v2/apps/{}/releases/v{version}/", part(app)))
    }

    /// Makes a release like an older one, by default the one before the current.
    pub fn rollback(&self, app: &str, version: Option<u64>) -> Result<RolledBack, ClientError> {
        let path = format!("/v2/apps/{}/releases/rollback/", part(app));
        match version {
            Some(_) => self.post(&path, &Rollback { version }),
            None => self.post_empty(&path),
        }
    }
}
