//! Users, and the administrators among them.

use std::fmt;

use domain::users::AddCondition;
use jiff::Timestamp;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use crate::{PageRange, Rows, Store, StoreError, access_version, rows};

/// A user as recorded.
#[derive(Clone, PartialEq, Eq)]
pub struct UserRecord {
    pub username: String,
    pub email: String,
    pub first_name: String,
    pub last_name: String,
    /// A PHC string of argon2id.
    pub password_hash: String,
    pub is_superuser: bool,
    pub is_staff: bool,
    pub is_active: bool,
    pub last_login: Option<Timestamp>,
    pub date_joined: Timestamp,
}

/// A user to be added.
#[derive(Clone)]
pub struct NewUser {
    pub username: String,
    pub email: String,
    pub first_name: String,
    pub last_name: String,
    pub password_hash: String,
    pub now: Timestamp,
}

impl NewUser {
    /// A user without an email address and without names.
    pub fn named(username: &str, password_hash: &str, now: Timestamp) -> Self {
        Self {
            username: username.to_owned(),
            email: String::new(),
            first_name: String::new(),
            last_name: String::new(),
            password_hash: password_hash.to_owned(),
            now,
        }
    }
}

impl Store {
    /// Adds a user, who becomes superuser if there is none.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] about `username` for a taken name, about `superuser` where `joining` allows only
    /// the first superuser and there is one.
    pub async fn add_user(&self, new: NewUser, joining: AddCondition) -> Result<UserRecord, StoreError> {
        let NewUser { username, email, first_name, last_name, password_hash, now } = new;
        let now = rows::kept(now);
        let mut write = self.write().await?;
        let is_first = !any_superuser(&mut write).await?;
        if joining == AddCondition::OnlyAsFirst && !is_first {
            return Err(StoreError::conflict("superuser"));
        }
        let taken = sqlx::query("SELECT 1 FROM users WHERE username = $1").bind(&username);
        if rows::any(taken, &mut write).await? {
            return Err(StoreError::conflict("username"));
        }
        let user = UserRecord {
            username,
            email,
            first_name,
            last_name,
            password_hash,
            is_superuser: is_first,
            is_staff: is_first,
            is_active: true,
            last_login: Some(now),
            date_joined: now,
        };
        insert(&user, &mut write).await?;
        write.commit().await?;
        Ok(user)
    }

    /// Finds a user by exact name.
    pub async fn user(&self, username: &str) -> Result<Option<UserRecord>, StoreError> {
        let found = sqlx::query("SELECT * FROM users WHERE username = $1")
            .bind(username)
            .fetch_optional(&self.pool)
            .await?;
        found.as_ref().map(read).transpose()
    }

    /// Returns true if there is a superuser.
    pub async fn has_superuser(&self) -> Result<bool, StoreError> {
        any_superuser(&mut *self.pool.acquire().await?).await
    }

    /// Users in the order in which they joined.
    pub async fn users(&self, page: PageRange) -> Result<Rows<UserRecord>, StoreError> {
        let count = sqlx::query("SELECT COUNT(*) FROM users").fetch_one(&self.pool).await?;
        let found = sqlx::query("SELECT * FROM users ORDER BY date_joined, username LIMIT $1 OFFSET $2")
            .bind(page.limit)
            .bind(page.offset)
            .fetch_all(&self.pool)
            .await?;
        Ok(Rows { count: rows::count(&count)?, rows: rows::each(&found, read)? })
    }

    /// Active superusers in the order in which they joined.
    pub async fn superusers(&self, page: PageRange) -> Result<Rows<UserRecord>, StoreError> {
        let count = sqlx::query("SELECT COUNT(*) FROM users WHERE is_superuser = 1 AND is_active = 1")
            .fetch_one(&self.pool)
            .await?;
        let found = sqlx::query(
            "SELECT * FROM users WHERE is_superuser = 1 AND is_active = 1 \
             ORDER BY date_joined, username LIMIT $1 OFFSET $2",
        )
        .bind(page.limit)
        .bind(page.offset)
        .fetch_all(&self.pool)
        .await?;
        Ok(Rows { count: rows::count(&count)?, rows: rows::each(&found, read)? })
    }

    /// Makes a user a superuser, or an ordinary one.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] for an unknown user.
    pub async fn set_superuser(&self, username: &str, is_superuser: bool) -> Result<(), StoreError> {
        let mut write = self.write().await?;
        let changed = sqlx::query("UPDATE users SET is_superuser = $1, is_staff = $1 WHERE username = $2")
            .bind(i64::from(is_superuser))
            .bind(username)
            .execute(&mut *write)
            .await?;
        found(username, changed.rows_affected())?;
        access_version::bump(&mut write).await?;
        write.commit().await
    }

    /// Replaces the hash of a user's password and ends the user's tokens, all but the one with the hash `keep`.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] for an unknown user.
    pub async fn set_password(
        &self,
        username: &str,
        password_hash: &str,
        keep: Option<&str>,
    ) -> Result<(), StoreError> {
        let mut write = self.write().await?;
        let changed = sqlx::query("UPDATE users SET password_hash = $1 WHERE username = $2")
            .bind(password_hash)
            .bind(username)
            .execute(&mut *write)
            .await?;
        found(username, changed.rows_affected())?;
        sqlx::query("DELETE FROM tokens WHERE username = $1 AND hash <> $2")
            .bind(username)
            .bind(keep.unwrap_or_default())
            .execute(&mut *write)
            .await?;
        access_version::bump(&mut write).await?;
        write.commit().await
    }

    /// Removes a user with keys, tokens and collaborations.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] about `apps` for an owner of apps, or about the kind of other rows that the user
    /// owns.
    /// [`StoreError::NotFound`] for an unknown user.
    pub async fn remove_user(&self, username: &str) -> Result<(), StoreError> {
        let mut write = self.write().await?;
        for (what, owned) in OWNED {
            if rows::any(sqlx::query(*owned).bind(username), &mut write).await? {
                return Err(StoreError::conflict(*what));
            }
        }
        let removed =
            sqlx::query("DELETE FROM users WHERE username = $1").bind(username).execute(&mut *write).await?;
        found(username, removed.rows_affected())?;
        access_version::bump(&mut write).await?;
        write.commit().await
    }
}

/// Rows that keep their owner from being removed (docs/spec/api.md 3).
const OWNED: &[(&str, &str)] = &[
    ("apps", "SELECT 1 FROM apps WHERE owner = $1 LIMIT 1"),
    ("certificates", "SELECT 1 FROM certs WHERE owner = $1 LIMIT 1"),
    ("releases", "SELECT 1 FROM releases WHERE owner = $1 LIMIT 1"),
    ("builds", "SELECT 1 FROM builds WHERE owner = $1 LIMIT 1"),
    ("configs", "SELECT 1 FROM configs WHERE owner = $1 LIMIT 1"),
    ("domains", "SELECT 1 FROM domains WHERE owner = $1 LIMIT 1"),
    ("settings", "SELECT 1 FROM app_settings WHERE owner = $1 LIMIT 1"),
    ("settings", "SELECT 1 FROM app_tls WHERE owner = $1 LIMIT 1"),
];

async fn any_superuser(connection: &mut AnyConnection) -> Result<bool, StoreError> {
    rows::any(sqlx::query("SELECT 1 FROM users WHERE is_superuser = 1 LIMIT 1"), connection).await
}

async fn insert(user: &UserRecord, connection: &mut AnyConnection) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO users (username, email, first_name, last_name, password_hash, is_superuser, \
         is_staff, is_active, last_login, date_joined) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(&user.username)
    .bind(&user.email)
    .bind(&user.first_name)
    .bind(&user.last_name)
    .bind(&user.password_hash)
    .bind(i64::from(user.is_superuser))
    .bind(i64::from(user.is_staff))
    .bind(i64::from(user.is_active))
    .bind(user.last_login.map(rows::time_text))
    .bind(rows::time_text(user.date_joined))
    .execute(connection)
    .await?;
    Ok(())
}

/// Turns "no row changed" into the error that it is.
fn found(username: &str, rows_affected: u64) -> Result<(), StoreError> {
    match rows_affected {
        0 => Err(StoreError::not_found(format!("user {username}"))),
        _ => Ok(()),
    }
}

pub(crate) fn read(row: &AnyRow) -> Result<UserRecord, StoreError> {
    Ok(UserRecord {
        username: row.try_get("username")?,
        email: row.try_get("email")?,
        first_name: row.try_get("first_name")?,
        last_name: row.try_get("last_name")?,
        password_hash: row.try_get("password_hash")?,
        is_superuser: rows::bool(row, "is_superuser")?,
        is_staff: rows::bool(row, "is_staff")?,
        is_active: rows::bool(row, "is_active")?,
        last_login: rows::time_or_none(row, "last_login")?,
        date_joined: rows::time(row, "date_joined")?,
    })
}

/// Leaves the password's hash out: it must never reach a log.
impl fmt::Debug for UserRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "User({})", self.username)
    }
}
