//! Builds.

use super::{Client, ClientError, part};
use crate::Page;
use crate::builds::{Build, NewBuild};

impl Client {
    pub fn builds(&self, app: &str, limit: i64) -> Result<Page<Build>, ClientError> {
        self.get(&format!("/v2/apps/{}/builds/?limit={limit}", part(app)))
    }

    /// Deploys an existing image; returns when the deploy has succeeded.
    pub fn create_build(&self, app: &str, build: &NewBuild) -> Result<(), ClientError> {
        self.tell(&format!("/v2/apps/{}/builds/", part(app)), build)
    }
}
