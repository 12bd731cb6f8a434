//! Builds.

use super::{Client, ClientError, folder};
use crate::Page;
use crate::builds::{BUILD_PATH, BUILDS_PATH, Build, NewBuild};

impl Client {
    /// Lists builds of an app, newest first, at most `limit`.
    pub fn builds(&self, app: &str, limit: i64) -> Result<Page<Build>, ClientError> {
        self.get(&format!("{}?limit={limit}", folder(BUILDS_PATH, [app])))
    }

    /// Fetches a build by its id.
    pub fn build(&self, app: &str, uuid: &str) -> Result<Build, ClientError> {
        self.get(&folder(BUILD_PATH, [app, uuid]))
    }

    /// Deploys an existing image; returns when the deploy has succeeded.
    ///
    /// # Errors
    ///
    /// [`ClientError::Status`] with the reason where the image or the deploy was refused or failed.
    pub fn create_build(&self, app: &str, build: &NewBuild) -> Result<(), ClientError> {
        self.tell(&folder(BUILDS_PATH, [app]), build)
    }
}
