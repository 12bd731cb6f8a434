//! Collaborators of an app and administrators.

use super::{Client, ClientError, folder, path};
use crate::Page;
use crate::perms::{
    ADMINISTRATOR_PATH, ADMINISTRATORS_PATH, Administrator, COLLABORATOR_PATH, COLLABORATORS_PATH,
    Collaborators, Grant,
};

impl Client {
    /// Lists the collaborators of an app, without its owner.
    pub fn collaborators(&self, app: &str) -> Result<Collaborators, ClientError> {
        self.get(&folder(COLLABORATORS_PATH, [app]))
    }

    /// Grants an app to a user; repeating it succeeds.
    pub fn add_collaborator(&self, app: &str, username: &str) -> Result<(), ClientError> {
        self.tell(&folder(COLLABORATORS_PATH, [app]), &grant(username))
    }

    /// Takes the grant back.
    ///
    /// # Errors
    ///
    /// [`ClientError::Status`] with 403 for a user without a grant.
    pub fn remove_collaborator(&self, app: &str, username: &str) -> Result<(), ClientError> {
        self.delete(&path(COLLABORATOR_PATH, [app, username]))
    }

    /// Lists administrators, at most `limit`.
    pub fn administrators(&self, limit: i64) -> Result<Page<Administrator>, ClientError> {
        self.get(&format!("{}?limit={limit}", folder(ADMINISTRATORS_PATH, [])))
    }

    /// Makes a user an administrator; repeating it succeeds.
    pub fn add_administrator(&self, username: &str) -> Result<(), ClientError> {
        self.tell(&folder(ADMINISTRATORS_PATH, []), &grant(username))
    }

    /// Makes an administrator an ordinary user; repeating it succeeds.
    pub fn remove_administrator(&self, username: &str) -> Result<(), ClientError> {
        self.delete(&path(ADMINISTRATOR_PATH, [username]))
    }
}

fn grant(username: &str) -> Grant {
    Grant { username: username.to_owned() }
}
