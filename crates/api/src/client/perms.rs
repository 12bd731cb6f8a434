//! Collaborators of an app and administrators.

use super::{Client, ClientError, part};
use crate::Page;
use crate::perms::{Administrator, Collaborators, Grant};

impl Client {
    /// Lists the collaborators of an app, without its owner.
    pub fn collaborators(&self, app: &str) -> Result<Collaborators, ClientError> {
        self.get(&format!("/v2/apps/{}/perms/", part(app)))
    }

    /// Grants an app to a user; repeating it succeeds.
    pub fn add_collaborator(&self, app: &str, username: &str) -> Result<(), ClientError> {
        self.tell(&format!("/v2/apps/{}/perms/", part(app)), &grant(username))
    }

    /// Takes the grant back.
    ///
    /// # Errors
    ///
    /// [`ClientError::Status`] with 403 for a user without a grant.
    pub fn remove_collaborator(&self, app: &str, username: &str) -> Result<(), ClientError> {
        self.delete(&format!("/v2/apps/{}/perms/{}", part(app), part(username)))
    }

    /// Lists administrators, at most `limit`.
    pub fn administrators(&self, limit: i64) -> Result<Page<Administrator>, ClientError> {
        self.get(&format!("/v2/admin/perms/?limit={limit}"))
    }

    /// Makes a user an administrator; repeating it succeeds.
    pub fn add_administrator(&self, username: &str) -> Result<(), ClientError> {
        self.tell("/v2/admin/perms/", &grant(username))
    }

    /// Makes an administrator an ordinary user; repeating it succeeds.
    pub fn remove_administrator(&self, username: &str) -> Result<(), ClientError> {
        self.delete(&format!("/v2/admin/perms/{}", part(username)))
    }
}

fn grant(username: &str) -> Grant {
    Grant { username: username.to_owned() }
}
