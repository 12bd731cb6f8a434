//! Configs: immutable rows, sealed at rest as they hold secrets.

use domain::AppName;
use domain::config::Config;
use jiff::Timestamp;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use crate::{Store, StoreError, releases, rows};

/// A config as recorded; it is never changed, so it has no other time than that of its making.
#[derive(Debug, Clone, PartialEq)]
pub struct ConfigRecord {
    pub uuid: String,
    pub app: AppName,
    pub owner: String,
    pub config: Config,
    pub created: Timestamp,
}

impl Store {
    /// The config of the newest release that has not failed.
    pub async fn current_config(&self, app: &AppName) -> Result<ConfigRecord, StoreError> {
        let mut connection = self.pool.acquire().await?;
        let release = releases::current(app, &mut connection).await?;
        find(self, &release.config, &mut connection).await
    }
}

pub(crate) async fn insert(
    store: &Store,
    app: &AppName,
    owner: &str,
    config: Config,
    now: Timestamp,
    connection: &mut AnyConnection,
) -> Result<ConfigRecord, StoreError> {
    let uuid = rows::new_uuid();
    let sealed = store.seal(&context(app), rows::json_text(&config).as_bytes());
    sqlx::query("INSERT INTO configs (uuid, app, owner, sealed, created) VALUES ($1, $2, $3, $4, $5)")
        .bind(&uuid)
        .bind(app.as_str())
        .bind(owner)
        .bind(sealed)
        .bind(rows::time_text(now))
        .execute(connection)
        .await?;
    Ok(ConfigRecord { uuid, app: app.clone(), owner: owner.to_owned(), config, created: rows::kept(now) })
}

pub(crate) async fn find(
    store: &Store,
    uuid: &str,
    connection: &mut AnyConnection,
) -> Result<ConfigRecord, StoreError> {
    let found =
        sqlx::query("SELECT * FROM configs WHERE uuid = $1").bind(uuid).fetch_optional(connection).await?;
    read(store, &found.ok_or_else(|| StoreError::not_found(format!("config {uuid}")))?)
}

fn read(store: &Store, row: &AnyRow) -> Result<ConfigRecord, StoreError> {
    let app = rows::app_name(row, "app")?;
    let context = context(&app);
    let opened = store.unseal(&context, row.try_get("sealed")?)?;
    Ok(ConfigRecord {
        uuid: row.try_get("uuid")?,
        owner: row.try_get("owner")?,
        config: rows::from_json(&context, &opened)?,
        created: rows::time(row, "created")?,
        app,
    })
}

pub(crate) fn context(app: &AppName) -> String {
    format!("config {app}")
}
