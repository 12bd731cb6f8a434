//! Builds: immutable rows of what was made from source or brought as an image.

use domain::AppName;
use domain::build::Build;
use jiff::Timestamp;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use crate::{PageRange, Rows, Store, StoreError, releases, rows};

/// A build as recorded; it is never changed, so it has no other time than that of its making.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildRecord {
    pub uuid: String,
    pub app: AppName,
    pub owner: String,
    pub build: Build,
    pub created: Timestamp,
}

impl Store {
    /// Builds of an app, newest first.
    pub async fn builds(&self, app: &AppName, page: PageRange) -> Result<Rows<BuildRecord>, StoreError> {
        let count = sqlx::query("SELECT COUNT(*) FROM builds WHERE app = $1")
            .bind(app.as_str())
            .fetch_one(&self.pool)
            .await?;
        let found =
            sqlx::query("SELECT * FROM builds WHERE app = $1 ORDER BY created DESC, uuid LIMIT $2 OFFSET $3")
                .bind(app.as_str())
                .bind(page.limit)
                .bind(page.offset)
                .fetch_all(&self.pool)
                .await?;
        Ok(Rows { count: rows::count(&count)?, rows: rows::each(&found, read)? })
    }

    /// Finds a build of this app.
    pub async fn build(&self, app: &AppName, uuid: &str) -> Result<Option<BuildRecord>, StoreError> {
        let found = sqlx::query("SELECT * FROM builds WHERE app = $1 AND uuid = $2")
            .bind(app.as_str())
            .bind(uuid)
            .fetch_optional(&self.pool)
            .await?;
        found.as_ref().map(read).transpose()
    }

    /// The build of the newest release that has not failed, if that has one.
    pub async fn current_build(&self, app: &AppName) -> Result<Option<BuildRecord>, StoreError> {
        let mut connection = self.pool.acquire().await?;
        let release = releases::current(app, &mut connection).await?;
        find(release.build.as_deref(), &mut connection).await
    }
}

pub(crate) async fn insert(
    uuid: String,
    app: &AppName,
    owner: &str,
    build: Build,
    now: Timestamp,
    connection: &mut AnyConnection,
) -> Result<BuildRecord, StoreError> {
    sqlx::query("INSERT INTO builds (uuid, app, owner, body, created) VALUES ($1, $2, $3, $4, $5)")
        .bind(&uuid)
        .bind(app.as_str())
        .bind(owner)
        .bind(rows::json_text(&build))
        .bind(rows::time_text(now))
        .execute(connection)
        .await?;
    Ok(BuildRecord { uuid, app: app.clone(), owner: owner.to_owned(), build, created: rows::kept(now) })
}

pub(crate) async fn find(
    uuid: Option<&str>,
    connection: &mut AnyConnection,
) -> Result<Option<BuildRecord>, StoreError> {
    let Some(uuid) = uuid else { return Ok(None) };
    let found =
        sqlx::query("SELECT * FROM builds WHERE uuid = $1").bind(uuid).fetch_optional(connection).await?;
    found.as_ref().map(read).transpose()
}

fn read(row: &AnyRow) -> Result<BuildRecord, StoreError> {
    let body: String = row.try_get("body")?;
    Ok(BuildRecord {
        uuid: row.try_get("uuid")?,
        app: rows::app_name(row, "app")?,
        owner: row.try_get("owner")?,
        build: rows::from_json("a build", body.as_bytes())?,
        created: rows::time(row, "created")?,
    })
}
