//! A counter that each write increments by which a user loses access: a token, a grant, a role, an app.
//!
//! Long requests (sessions, followed logs) compare it once a second instead of checking their permission each; so
//! every controller on one database notices, whichever of them recorded the change.

use sqlx::{AnyConnection, Row as _};

use crate::{Store, StoreError};

impl Store {
    /// Value of the counter. Equal values mean that no user lost access in between.
    pub async fn access_version(&self) -> Result<i64, StoreError> {
        let found = sqlx::query("SELECT CAST(value AS BIGINT) FROM meta WHERE name = 'access'")
            .fetch_optional(&self.pool)
            .await?;
        Ok(found.map(|row| row.try_get(0)).transpose()?.unwrap_or_default())
    }
}

/// Records inside a write that a user loses access by it.
pub(crate) async fn bump(connection: &mut AnyConnection) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO meta (name, value) VALUES ('access', '1') \
         ON CONFLICT (name) DO UPDATE SET value = CAST(CAST(meta.value AS BIGINT) + 1 AS TEXT)",
    )
    .execute(connection)
    .await?;
    Ok(())
}
