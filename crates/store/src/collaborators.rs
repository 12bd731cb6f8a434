//! Collaborators: users who may work on an app that is not theirs.

use domain::AppName;
use domain::access::Role;
use jiff::Timestamp;
use sqlx::Row as _;

use crate::{Store, StoreError, access_version, rows};

impl Store {
    /// Owner of an app; `None` if it does not exist or is being removed.
    pub async fn app_owner(&self, app: &AppName) -> Result<Option<String>, StoreError> {
        let found = sqlx::query("SELECT owner FROM apps WHERE id = $1 AND removing = 0")
            .bind(app.as_str())
            .fetch_optional(&self.pool)
            .await?;
        Ok(found.map(|row| row.try_get("owner")).transpose()?)
    }

    /// Roles of a user on an app; `None` if the app does not exist or is being removed.
    pub async fn roles_on(&self, app: &AppName, username: &str) -> Result<Option<Vec<Role>>, StoreError> {
        let found = sqlx::query(
            "SELECT apps.owner, collaborators.username AS collaborator FROM apps LEFT JOIN collaborators \
             ON collaborators.app = apps.id AND collaborators.username = $2 \
             WHERE apps.id = $1 AND apps.removing = 0",
        )
        .bind(app.as_str())
        .bind(username)
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = found else { return Ok(None) };
        let is_owner = row.try_get::<String, _>("owner")? == username;
        let is_collaborator = row.try_get::<Option<String>, _>("collaborator")?.is_some();
        let roles = [(is_owner, Role::Owner), (is_collaborator, Role::Collaborator)];
        Ok(Some(roles.into_iter().filter_map(|(is_granted, role)| is_granted.then_some(role)).collect()))
    }

    /// Users to whom the app was granted, by name.
    pub async fn collaborators(&self, app: &AppName) -> Result<Vec<String>, StoreError> {
        let found = sqlx::query("SELECT username FROM collaborators WHERE app = $1 ORDER BY username")
            .bind(app.as_str())
            .fetch_all(&self.pool)
            .await?;
        rows::each(&found, |row| Ok(row.try_get("username")?))
    }

    /// Returns true if the app was granted to this user.
    pub async fn is_collaborator(&self, app: &AppName, username: &str) -> Result<bool, StoreError> {
        let granted = sqlx::query("SELECT 1 FROM collaborators WHERE app = $1 AND username = $2")
            .bind(app.as_str())
            .bind(username);
        rows::any(granted, &mut *self.pool.acquire().await?).await
    }

    /// Grants the app; returns true if the grant is new.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] for an unknown app or user.
    pub async fn add_collaborator(
        &self,
        app: &AppName,
        username: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut write = self.write().await?;
        let exists = sqlx::query("SELECT 1 FROM apps, users WHERE apps.id = $1 AND users.username = $2")
            .bind(app.as_str())
            .bind(username);
        if !rows::any(exists, &mut write).await? {
            return Err(StoreError::not_found(format!("app {app} or user {username}")));
        }
        let added = sqlx::query(
            "INSERT INTO collaborators (app, username, created) VALUES ($1, $2, $3) \
             ON CONFLICT (app, username) DO NOTHING",
        )
        .bind(app.as_str())
        .bind(username)
        .bind(rows::time_text(now))
        .execute(&mut *write)
        .await?;
        write.commit().await?;
        Ok(added.rows_affected() > 0)
    }

    /// Takes the grant back; returns true if there was one.
    pub async fn remove_collaborator(&self, app: &AppName, username: &str) -> Result<bool, StoreError> {
        let mut write = self.write().await?;
        let removed = sqlx::query("DELETE FROM collaborators WHERE app = $1 AND username = $2")
            .bind(app.as_str())
            .bind(username)
            .execute(&mut *write)
            .await?;
        access_version::bump(&mut write).await?;
        write.commit().await?;
        Ok(removed.rows_affected() > 0)
    }
}
