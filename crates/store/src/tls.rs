//! HTTPS enforcement of apps: one row an app, replaced as a whole.

use domain::AppName;
use domain::tls::next_enforcement;
use jiff::Timestamp;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use crate::changes::ChangeContext;
use crate::{ChangeError, Store, StoreError, apps, rows};

/// The recorded setting of HTTPS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsRecord {
    pub uuid: String,
    pub app: AppName,
    /// User who made this change.
    pub owner: String,
    /// `None` where it is left open.
    pub https_enforced: Option<bool>,
    pub created: Timestamp,
}

impl Store {
    /// Current HTTPS enforcement of an app.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] for an unknown app.
    pub async fn tls(&self, app: &AppName) -> Result<TlsRecord, StoreError> {
        current(app, &mut *self.pool.acquire().await?).await
    }

    /// Enforces HTTPS, stops enforcing it, or leaves it unset.
    ///
    /// # Errors
    ///
    /// [`ChangeError::Store`] with [`StoreError::NotFound`] for an app that does not exist or is being removed;
    /// [`ChangeError::Tls`] for a change that changes nothing.
    pub async fn change_tls(
        &self,
        app: &AppName,
        owner: &str,
        enforced: Option<bool>,
        now: Timestamp,
    ) -> Result<TlsRecord, ChangeError> {
        let mut write = self.write().await?;
        apps::must_be_there(app, &mut write).await?;
        let before = current(app, &mut write).await?;
        let next = next_enforcement(owner, before.https_enforced, enforced)?;
        let record = replace(&ChangeContext { store: self, app, owner, now }, next, &mut write).await?;
        write.commit().await?;
        Ok(record)
    }
}

async fn current(app: &AppName, connection: &mut AnyConnection) -> Result<TlsRecord, StoreError> {
    const RECORDED: &str = "SELECT * FROM app_tls WHERE app = $1";
    // Apps of an older platform have no row yet.
    const OPEN: &str = "SELECT uuid, id AS app, owner, created, CAST(NULL AS BIGINT) AS https_enforced \
                        FROM apps WHERE id = $1";
    for query in [RECORDED, OPEN] {
        let found = sqlx::query(query).bind(app.as_str()).fetch_optional(&mut *connection).await?;
        if let Some(row) = found {
            return read(&row);
        }
    }
    Err(StoreError::not_found(format!("app {app}")))
}

/// Puts a setting in the place of the one that the app had.
pub(crate) async fn replace(
    by: &ChangeContext<'_>,
    https_enforced: Option<bool>,
    connection: &mut AnyConnection,
) -> Result<TlsRecord, StoreError> {
    let ChangeContext { store: _, app, owner, now } = *by;
    let uuid = rows::new_uuid();
    sqlx::query("DELETE FROM app_tls WHERE app = $1").bind(app.as_str()).execute(&mut *connection).await?;
    sqlx::query(
        "INSERT INTO app_tls (uuid, app, owner, https_enforced, created) VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(&uuid)
    .bind(app.as_str())
    .bind(owner)
    .bind(https_enforced.map(i64::from))
    .bind(rows::time_text(now))
    .execute(connection)
    .await?;
    let created = rows::kept(now);
    Ok(TlsRecord { uuid, app: app.clone(), owner: owner.to_owned(), https_enforced, created })
}

fn read(row: &AnyRow) -> Result<TlsRecord, StoreError> {
    let enforced: Option<i64> = row.try_get("https_enforced")?;
    Ok(TlsRecord {
        uuid: row.try_get("uuid")?,
        app: rows::app_name(row, "app")?,
        owner: row.try_get("owner")?,
        https_enforced: enforced.map(|value| value != 0),
        created: rows::time(row, "created")?,
    })
}
