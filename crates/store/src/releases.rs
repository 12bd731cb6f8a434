//! Releases: immutable rows. What became of each is derived from its deploys, never written here.

use domain::AppName;
use jiff::Timestamp;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use crate::{BuildRecord, ConfigRecord, PageRange, Rows, Store, StoreError, builds, configs, rows};

/// A release and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseRecord {
    pub uuid: String,
    pub app: AppName,
    pub owner: String,
    pub version: u64,
    /// Id of the config.
    pub config: String,
    /// Id of the build.
    pub build: Option<String>,
    /// Contains the failure if there was one.
    pub summary: String,
    pub created: Timestamp,
    pub updated: Timestamp,
    /// It was tried and has never succeeded.
    pub failed: bool,
    /// Reason of the failure.
    pub exception: Option<String>,
}

/// A release with all that it is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct ReleaseContent {
    pub release: ReleaseRecord,
    pub config: ConfigRecord,
    pub build: Option<BuildRecord>,
}

/// A release to be recorded.
#[derive(Debug, Clone)]
pub(crate) struct NewRelease {
    pub version: u64,
    pub config: String,
    pub build: Option<String>,
    pub summary: String,
    pub summary_if_failed: String,
}

/// A query over the releases of one app ($1) with what their deploys say.
macro_rules! releases_where {
    ($rest:literal) => {
        concat!(
            "SELECT * FROM (SELECT releases.*, \
             (SELECT COUNT(*) FROM deploys WHERE deploys.app = releases.app AND \
              deploys.version = releases.version AND deploys.state = 'succeeded') AS successes, \
             (SELECT COUNT(*) FROM deploys WHERE deploys.app = releases.app AND \
              deploys.version = releases.version AND deploys.state = 'failed') AS failures, \
             (SELECT deploys.reason FROM deploys WHERE deploys.app = releases.app AND \
              deploys.version = releases.version AND deploys.state = 'failed' \
              ORDER BY deploys.id DESC LIMIT 1) AS failure_reason, \
             (SELECT MAX(deploys.updated) FROM deploys WHERE deploys.app = releases.app AND \
              deploys.version = releases.version) AS deployed \
             FROM releases WHERE releases.app = $1) AS told WHERE ",
            $rest
        )
    };
}

impl Store {
    /// Releases of an app, newest first, failed ones included.
    pub async fn releases(&self, app: &AppName, page: PageRange) -> Result<Rows<ReleaseRecord>, StoreError> {
        let count = sqlx::query("SELECT COUNT(*) FROM releases WHERE app = $1")
            .bind(app.as_str())
            .fetch_one(&self.pool)
            .await?;
        let found = sqlx::query(releases_where!("TRUE ORDER BY version DESC LIMIT $2 OFFSET $3"))
            .bind(app.as_str())
            .bind(page.limit)
            .bind(page.offset)
            .fetch_all(&self.pool)
            .await?;
        Ok(Rows { count: rows::count(&count)?, rows: rows::each(&found, read)? })
    }

    /// Finds a release by number.
    pub async fn release(&self, app: &AppName, version: u64) -> Result<Option<ReleaseRecord>, StoreError> {
        find(app, version, &mut *self.pool.acquire().await?).await
    }

    /// The newest release that has not failed: the app runs it or is about to.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] for an unknown app.
    pub async fn current_release(&self, app: &AppName) -> Result<ReleaseRecord, StoreError> {
        current(app, &mut *self.pool.acquire().await?).await
    }

    /// The newest release that has not failed, with its config and build.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] for an unknown app.
    pub async fn current_content(&self, app: &AppName) -> Result<ReleaseContent, StoreError> {
        let mut connection = self.pool.acquire().await?;
        let release = current(app, &mut connection).await?;
        content(self, release, &mut connection).await
    }

    /// A release with its config and build.
    pub async fn release_content(
        &self,
        app: &AppName,
        version: u64,
    ) -> Result<Option<ReleaseContent>, StoreError> {
        let mut connection = self.pool.acquire().await?;
        match find(app, version, &mut connection).await? {
            Some(release) => Ok(Some(content(self, release, &mut connection).await?)),
            None => Ok(None),
        }
    }
}

pub(crate) async fn content(
    store: &Store,
    release: ReleaseRecord,
    connection: &mut AnyConnection,
) -> Result<ReleaseContent, StoreError> {
    let config = configs::find(store, &release.config, connection).await?;
    let build = builds::find(release.build.as_deref(), connection).await?;
    Ok(ReleaseContent { release, config, build })
}

pub(crate) async fn find(
    app: &AppName,
    version: u64,
    connection: &mut AnyConnection,
) -> Result<Option<ReleaseRecord>, StoreError> {
    let found = sqlx::query(releases_where!("version = $2"))
        .bind(app.as_str())
        .bind(rows::stored(version))
        .fetch_optional(connection)
        .await?;
    found.as_ref().map(read).transpose()
}

pub(crate) async fn current(
    app: &AppName,
    connection: &mut AnyConnection,
) -> Result<ReleaseRecord, StoreError> {
    let found = sqlx::query(releases_where!("failures = 0 OR successes > 0 ORDER BY version DESC LIMIT 1"))
        .bind(app.as_str())
        .fetch_optional(connection)
        .await?;
    read(&found.ok_or_else(|| StoreError::not_found(format!("release of app {app}")))?)
}

/// Highest number of all releases, failed ones included.
pub(crate) async fn newest_version(app: &AppName, connection: &mut AnyConnection) -> Result<u64, StoreError> {
    let newest = sqlx::query("SELECT COALESCE(MAX(version), 0) FROM releases WHERE app = $1")
        .bind(app.as_str())
        .fetch_one(connection)
        .await?;
    rows::count(&newest)
}

pub(crate) async fn insert(
    app: &AppName,
    owner: &str,
    new: NewRelease,
    now: Timestamp,
    connection: &mut AnyConnection,
) -> Result<ReleaseRecord, StoreError> {
    let NewRelease { version, config, build, summary, summary_if_failed } = new;
    let uuid = rows::new_uuid();
    sqlx::query(
        "INSERT INTO releases (uuid, app, version, owner, config, build, summary, summary_if_failed, created) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(&uuid)
    .bind(app.as_str())
    .bind(rows::stored(version))
    .bind(owner)
    .bind(&config)
    .bind(build.as_deref())
    .bind(&summary)
    .bind(summary_if_failed)
    .bind(rows::time_text(now))
    .execute(connection)
    .await?;
    let (app, owner, created) = (app.clone(), owner.to_owned(), rows::kept(now));
    let (updated, failed, exception) = (created, false, None);
    Ok(ReleaseRecord {
        uuid,
        app,
        owner,
        version,
        config,
        build,
        summary,
        created,
        updated,
        failed,
        exception,
    })
}

fn read(row: &AnyRow) -> Result<ReleaseRecord, StoreError> {
    let failed = rows::number(row, "failures")? > 0 && rows::number(row, "successes")? == 0;
    let summary = if failed { "summary_if_failed" } else { "summary" };
    let reason: Option<String> = row.try_get("failure_reason")?;
    let created = rows::time(row, "created")?;
    Ok(ReleaseRecord {
        uuid: row.try_get("uuid")?,
        app: rows::app_name(row, "app")?,
        owner: row.try_get("owner")?,
        version: rows::number(row, "version")?,
        config: row.try_get("config")?,
        build: row.try_get("build")?,
        summary: row.try_get(summary)?,
        created,
        updated: rows::time_or_none(row, "deployed")?.unwrap_or(created),
        failed,
        exception: reason.filter(|_| failed),
    })
}
