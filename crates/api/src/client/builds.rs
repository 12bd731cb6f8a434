//! Builds.

use super::{Client, ClientError, part};
use crate::Page;
use crate::builds::{Build, NewBuild};

impl Client {
    /// Lists builds of an app, newest first, at most `limit`.
    pub fn builds(&self, app: &str, limit: i64) -> Result<Page<Build>, ClientError> {
        self.get(&format!("/v2/apps/{}/builds/?limit={limit}", part(app)))
    }

    /// Deploys an existing image; returns when the deploy has succeeded.
    ///
    /// # Errors
    ///
    /// [`ClientError::Status`] with the reason where the image or the deploy was refused or failed.
    pub fn create_build(&self, app: &str, build: &NewBuild) -> Result<(), ClientError> {
        self.tell(&format!("/v2/apps/{}/builds/", part(app)), build)
    }
}
