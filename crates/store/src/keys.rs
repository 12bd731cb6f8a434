//! SSH keys of users. Looked up by the SHA-256 of the key's blob; MD5 is for display only.

use jiff::Timestamp;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use crate::{PageRange, Rows, Store, StoreError, rows};

/// A key as recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRecord {
    pub uuid: String,
    pub owner: String,
    pub id: String,
    pub public: String,
    pub fingerprint: String,
    pub created: Timestamp,
    pub updated: Timestamp,
}

/// A key to be added.
#[derive(Debug, Clone)]
pub struct NewKey {
    pub uuid: String,
    pub owner: String,
    pub id: String,
    pub public: String,
    pub blob_sha256: String,
    pub fingerprint: String,
    pub now: Timestamp,
}

impl Store {
    /// Adds a key.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] about `id` for a taken name, about `public` for a key that a user has already.
    pub async fn add_key(&self, new: NewKey) -> Result<KeyRecord, StoreError> {
        let NewKey { uuid, owner, id, public, blob_sha256, fingerprint, now } = new;
        let now = rows::kept(now);
        let mut write = self.write().await?;
        let taken = sqlx::query("SELECT 1 FROM keys WHERE id = $1").bind(&id);
        if rows::any(taken, &mut write).await? {
            return Err(StoreError::conflict("id"));
        }
        let known = sqlx::query("SELECT 1 FROM keys WHERE blob_sha256 = $1").bind(&blob_sha256);
        if rows::any(known, &mut write).await? {
            return Err(StoreError::conflict("public"));
        }
        sqlx::query(
            "INSERT INTO keys (uuid, owner, id, public, blob_sha256, fingerprint, created, updated) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $7)",
        )
        .bind(&uuid)
        .bind(&owner)
        .bind(&id)
        .bind(&public)
        .bind(&blob_sha256)
        .bind(&fingerprint)
        .bind(rows::time_text(now))
        .execute(&mut *write)
        .await?;
        write.commit().await?;
        Ok(KeyRecord { uuid, owner, id, public, fingerprint, created: now, updated: now })
    }

    /// Keys of one user, ordered by their text.
    pub async fn keys(&self, owner: &str, page: PageRange) -> Result<Rows<KeyRecord>, StoreError> {
        let count = sqlx::query("SELECT COUNT(*) FROM keys WHERE owner = $1")
            .bind(owner)
            .fetch_one(&self.pool)
            .await?;
        let found = sqlx::query("SELECT * FROM keys WHERE owner = $1 ORDER BY public, id LIMIT $2 OFFSET $3")
            .bind(owner)
            .bind(page.limit)
            .bind(page.offset)
            .fetch_all(&self.pool)
            .await?;
        Ok(Rows { count: rows::count(&count)?, rows: rows::each(&found, read)? })
    }

    /// Finds a key of this user by name.
    pub async fn key(&self, owner: &str, id: &str) -> Result<Option<KeyRecord>, StoreError> {
        let found = sqlx::query("SELECT * FROM keys WHERE owner = $1 AND id = $2")
            .bind(owner)
            .bind(id)
            .fetch_optional(&self.pool)
            .await?;
        found.as_ref().map(read).transpose()
    }

    /// Removes a key of this user; returns true if there was one.
    pub async fn remove_key(&self, owner: &str, id: &str) -> Result<bool, StoreError> {
        let removed = sqlx::query("DELETE FROM keys WHERE owner = $1 AND id = $2")
            .bind(owner)
            .bind(id)
            .execute(&self.pool)
            .await?;
        Ok(removed.rows_affected() > 0)
    }

    /// Finds the active user whose key has this blob (SHA-256, hex).
    pub async fn key_owner(&self, blob_sha256: &str) -> Result<Option<String>, StoreError> {
        let found = sqlx::query(
            "SELECT keys.owner FROM keys JOIN users ON users.username = keys.owner \
             WHERE keys.blob_sha256 = $1 AND users.is_active = 1",
        )
        .bind(blob_sha256)
        .fetch_optional(&self.pool)
        .await?;
        Ok(found.map(|row| row.try_get("owner")).transpose()?)
    }
}

fn read(row: &AnyRow) -> Result<KeyRecord, StoreError> {
    Ok(KeyRecord {
        uuid: row.try_get("uuid")?,
        owner: row.try_get("owner")?,
        id: row.try_get("id")?,
        public: row.try_get("public")?,
        fingerprint: row.try_get("fingerprint")?,
        created: rows::time(row, "created")?,
        updated: rows::time(row, "updated")?,
    })
}
