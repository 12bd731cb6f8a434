//! Configs: immutable rows, sealed at rest as they hold secrets.
//!
//! A large config is kept in parts, each once for all configs of its app that have it.

use std::collections::BTreeMap;

use domain::AppName;
use domain::config::{Config, PARTS_MAX};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row as _};

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

/// Content of a config's row.
#[derive(Serialize, Deserialize)]
enum Outline {
    Whole(Box<Config>),
    /// Names of the parts.
    Parts(Vec<String>),
}

impl Store {
    /// The config of the newest release that has not failed.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] for an unknown app.
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
    let outline = outline(store, app, &config, connection).await?;
    sqlx::query(
        "INSERT INTO configs (uuid, app, owner, sealed, outline, created) VALUES ($1, $2, $3, '', $4, $5)",
    )
    .bind(&uuid)
    .bind(app.as_str())
    .bind(owner)
    .bind(outline)
    .bind(rows::time_text(now))
    .execute(connection)
    .await?;
    Ok(ConfigRecord { uuid, app: app.clone(), owner: owner.to_owned(), config, created: rows::kept(now) })
}

/// Writes the parts that the app has not yet, and says what the row is to hold.
async fn outline(
    store: &Store,
    app: &AppName,
    config: &Config,
    connection: &mut AnyConnection,
) -> Result<String, StoreError> {
    let parts = config.parts();
    let outline = if parts.len() == 1 {
        Outline::Whole(Box::new(config.clone()))
    } else {
        Outline::Parts(put_parts(store, app, &parts, connection).await?)
    };
    Ok(store.seal(&outline_context(app), rows::json_text(&outline).as_bytes()))
}

async fn put_parts(
    store: &Store,
    app: &AppName,
    parts: &[Vec<u8>],
    connection: &mut AnyConnection,
) -> Result<Vec<String>, StoreError> {
    let place = outline_context(app);
    let names: Vec<_> = parts.iter().map(|part| store.sealing.fingerprint(&place, part)).collect();
    let known = sealed_parts(app, &names, connection).await?;
    for (name, part) in names.iter().zip(parts).filter(|(name, _)| !known.contains_key(*name)) {
        sqlx::query(
            "INSERT INTO config_parts (id, app, name, sealed) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (app, name) DO NOTHING",
        )
        .bind(rows::new_uuid())
        .bind(app.as_str())
        .bind(name)
        .bind(store.seal(&part_context(app, name), part))
        .execute(&mut *connection)
        .await?;
    }
    Ok(names)
}

async fn sealed_parts(
    app: &AppName,
    names: &[String],
    connection: &mut AnyConnection,
) -> Result<BTreeMap<String, String>, StoreError> {
    let places: Vec<_> = (2..names.len() + 2).map(|number| format!("${number}")).collect();
    let text =
        format!("SELECT name, sealed FROM config_parts WHERE app = $1 AND name IN ({})", places.join(", "));
    let asked = sqlx::query(AssertSqlSafe(text)).bind(app.as_str());
    let asked = names.iter().fold(asked, |asked, name| asked.bind(name));
    let found = asked.fetch_all(connection).await?;
    let part = |row: &AnyRow| Ok((row.try_get("name")?, row.try_get("sealed")?));
    Ok(rows::each(&found, part)?.into_iter().collect())
}

pub(crate) async fn find(
    store: &Store,
    uuid: &str,
    connection: &mut AnyConnection,
) -> Result<ConfigRecord, StoreError> {
    let found = sqlx::query("SELECT * FROM configs WHERE uuid = $1")
        .bind(uuid)
        .fetch_optional(&mut *connection)
        .await?;
    let row = found.ok_or_else(|| StoreError::not_found(format!("config {uuid}")))?;
    let app = rows::app_name(&row, "app")?;
    Ok(ConfigRecord {
        config: read(store, &app, &row, connection).await?,
        uuid: row.try_get("uuid")?,
        owner: row.try_get("owner")?,
        created: rows::time(&row, "created")?,
        app,
    })
}

async fn read(
    store: &Store,
    app: &AppName,
    row: &AnyRow,
    connection: &mut AnyConnection,
) -> Result<Config, StoreError> {
    let Some(outline) = row.try_get::<Option<String>, _>("outline")? else { return whole(store, app, row) };
    let place = outline_context(app);
    match rows::from_json(&place, &store.unseal(&place, &outline)?)? {
        Outline::Whole(config) => Ok(*config),
        Outline::Parts(names) if names.len() <= PARTS_MAX => joined(store, app, &names, connection).await,
        Outline::Parts(_) => Err(StoreError::damaged(place, "it has too many parts")),
    }
}

async fn joined(
    store: &Store,
    app: &AppName,
    names: &[String],
    connection: &mut AnyConnection,
) -> Result<Config, StoreError> {
    let sealed = sealed_parts(app, names, connection).await?;
    let open = |name: &String| {
        let place = part_context(app, name);
        let sealed = sealed.get(name).ok_or_else(|| StoreError::damaged(&place, "it is missing"))?;
        store.unseal(&place, sealed)
    };
    let parts = names.iter().map(open).collect::<Result<Vec<_>, _>>()?;
    let config = Config::from_parts(parts.iter().map(Vec::as_slice));
    config.map_err(|error| StoreError::damaged(outline_context(app), error))
}

/// A config as older versions wrote it.
fn whole(store: &Store, app: &AppName, row: &AnyRow) -> Result<Config, StoreError> {
    let context = context(app);
    rows::from_json(&context, &store.unseal(&context, row.try_get("sealed")?)?)
}

/// Ids of configs as older versions wrote them, in order, after this one.
pub(crate) async fn whole_ones(
    after: &str,
    count_max: i64,
    connection: &mut AnyConnection,
) -> Result<Vec<String>, StoreError> {
    let asked = "SELECT uuid FROM configs WHERE outline IS NULL AND uuid > $1 ORDER BY uuid LIMIT $2";
    let found = sqlx::query(asked).bind(after).bind(count_max).fetch_all(connection).await?;
    rows::each(&found, |row| Ok(row.try_get("uuid")?))
}

/// Has a config of an older version share its parts. Its content stays.
pub(crate) async fn share(
    store: &Store,
    uuid: &str,
    connection: &mut AnyConnection,
) -> Result<(), StoreError> {
    let asked = sqlx::query("SELECT * FROM configs WHERE uuid = $1 AND outline IS NULL").bind(uuid);
    let Some(row) = asked.fetch_optional(&mut *connection).await? else { return Ok(()) };
    let app = rows::app_name(&row, "app")?;
    let outline = outline(store, &app, &whole(store, &app, &row)?, connection).await?;
    sqlx::query("UPDATE configs SET sealed = '', outline = $1 WHERE uuid = $2")
        .bind(outline)
        .bind(uuid)
        .execute(connection)
        .await?;
    Ok(())
}

/// Sealing context of configs of older versions.
pub(crate) fn context(app: &AppName) -> String {
    format!("config {app}")
}

pub(crate) fn outline_context(app: &AppName) -> String {
    format!("outline of config {app}")
}

pub(crate) fn part_context(app: &AppName, name: &str) -> String {
    format!("part {name} of config {app}")
}
