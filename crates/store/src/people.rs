//! Users whom a directory knows: added and kept up to date as they log in.

use crate::users::{NewUser, UserRecord, read};
use crate::{Store, StoreError, rows};

impl Store {
    /// Adds the user, or takes over name and address of one that is there. Nobody becomes superuser by it,
    /// and the password of one that is there stays.
    pub async fn put_user(&self, new: NewUser) -> Result<UserRecord, StoreError> {
        let NewUser { username, email, first_name, last_name, password_hash, now } = new;
        let put = sqlx::query(
            "INSERT INTO users (username, email, first_name, last_name, password_hash, is_superuser, \
             is_staff, is_active, last_login, date_joined) VALUES ($1, $2, $3, $4, $5, 0, 0, 1, $6, $6) \
             ON CONFLICT (username) DO UPDATE SET email = excluded.email, first_name = excluded.first_name, \
             last_name = excluded.last_name, last_login = excluded.last_login RETURNING *",
        )
        .bind(&username)
        .bind(&email)
        .bind(&first_name)
        .bind(&last_name)
        .bind(&password_hash)
        .bind(rows::time_text(now));
        let mut write = self.write().await?;
        let user = read(&put.fetch_one(&mut *write).await?)?;
        write.commit().await?;
        Ok(user)
    }
}
