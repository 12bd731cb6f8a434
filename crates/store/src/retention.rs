//! Images that apps need: the image of each release, and the releases that failed.

use domain::AppName;
use domain::build::Build;
use domain::retention::ReleaseImages;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use crate::{Store, StoreError, rows};

const RELEASE_IMAGES: &str = "SELECT releases.version AS version, builds.body AS body, \
     (SELECT COUNT(*) FROM deploys WHERE deploys.app = releases.app AND \
      deploys.version = releases.version AND deploys.state = 'succeeded') AS successes, \
     (SELECT COUNT(*) FROM deploys WHERE deploys.app = releases.app AND \
      deploys.version = releases.version AND deploys.state = 'failed') AS failures \
     FROM releases JOIN builds ON builds.uuid = releases.build \
     WHERE releases.app = $1 ORDER BY releases.version DESC";

impl Store {
    /// Images of an app's releases, newest first; releases without a build have none.
    pub async fn release_images(&self, app: &AppName) -> Result<Vec<ReleaseImages>, StoreError> {
        let found = sqlx::query(RELEASE_IMAGES).bind(app.as_str()).fetch_all(&self.pool).await?;
        rows::each(&found, read)
    }
}

fn read(row: &AnyRow) -> Result<ReleaseImages, StoreError> {
    let body: String = row.try_get("body")?;
    let build: Build = rows::from_json("a build", body.as_bytes())?;
    let (failures, successes): (i64, i64) = (row.try_get("failures")?, row.try_get("successes")?);
    Ok(ReleaseImages {
        version: rows::number(row, "version")?,
        images: build.images().map(|image| image.digest().clone()).collect(),
        failed: failures > 0 && successes == 0,
    })
}
