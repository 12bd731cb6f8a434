//! Tokens: what a client shows instead of a password. Only hashes come here.

use jiff::Timestamp;
use sqlx::AnyConnection;

use crate::{Store, StoreError, UserRecord, access_version, rows, users};

/// Tokens that a user may have; a login beyond it ends the oldest.
const TOKENS_PER_USER_MAX: i64 = 100;

impl Store {
    /// Finds the user of the token with this hash (SHA-256, hex).
    pub async fn user_of_token(&self, hash: &str) -> Result<Option<UserRecord>, StoreError> {
        let found = sqlx::query(
            "SELECT users.* FROM users JOIN tokens ON tokens.username = users.username WHERE tokens.hash = $1",
        )
        .bind(hash)
        .fetch_optional(&self.pool)
        .await?;
        found.as_ref().map(users::read).transpose()
    }

    /// Adds a token to those that the user has.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] for an unknown user.
    pub async fn add_token(&self, username: &str, hash: &str, now: Timestamp) -> Result<(), StoreError> {
        let mut write = self.write().await?;
        insert(username, hash, now, &mut write).await?;
        end_oldest(username, &mut write).await?;
        write.commit().await
    }

    /// Ends all tokens of a user and gives one new one.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] for an unknown user.
    pub async fn replace_tokens(&self, username: &str, hash: &str, now: Timestamp) -> Result<(), StoreError> {
        let mut write = self.write().await?;
        sqlx::query("DELETE FROM tokens WHERE username = $1").bind(username).execute(&mut *write).await?;
        insert(username, hash, now, &mut write).await?;
        access_version::bump(&mut write).await?;
        write.commit().await
    }

    /// Ends one token; ending one that does not exist succeeds.
    pub async fn end_token(&self, hash: &str) -> Result<(), StoreError> {
        let mut write = self.write().await?;
        sqlx::query("DELETE FROM tokens WHERE hash = $1").bind(hash).execute(&mut *write).await?;
        access_version::bump(&mut write).await?;
        write.commit().await
    }

    /// Ends all tokens of all users.
    pub async fn end_all_tokens(&self) -> Result<(), StoreError> {
        let mut write = self.write().await?;
        sqlx::query("DELETE FROM tokens").execute(&mut *write).await?;
        access_version::bump(&mut write).await?;
        write.commit().await
    }
}

async fn insert(
    username: &str,
    hash: &str,
    now: Timestamp,
    connection: &mut AnyConnection,
) -> Result<(), StoreError> {
    let user = sqlx::query("SELECT 1 FROM users WHERE username = $1").bind(username);
    if !rows::any(user, connection).await? {
        return Err(StoreError::not_found(format!("user {username}")));
    }
    sqlx::query("INSERT INTO tokens (hash, username, created) VALUES ($1, $2, $3)")
        .bind(hash)
        .bind(username)
        .bind(rows::time_text(now))
        .execute(connection)
        .await?;
    Ok(())
}

async fn end_oldest(username: &str, connection: &mut AnyConnection) -> Result<(), StoreError> {
    let ended = sqlx::query(
        "DELETE FROM tokens WHERE username = $1 AND hash NOT IN \
         (SELECT hash FROM tokens WHERE username = $1 ORDER BY created DESC, hash LIMIT $2)",
    )
    .bind(username)
    .bind(TOKENS_PER_USER_MAX)
    .execute(&mut *connection)
    .await?;
    if ended.rows_affected() > 0 { access_version::bump(connection).await } else { Ok(()) }
}
