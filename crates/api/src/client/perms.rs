//! Collaborators of an app and administrators.

use super::{Client, ClientError, part};
use crate::Page;
use crate::perms::{Administrator, Collaborators, Grant};

impl Client {
    pub fn collaborators(&self, app: &str) -> Result<Collaborators, ClientError> {
        self.get(&format!("/v2/apps/{}/perms/", part(app)))
    }

    pub fn add_collaborator(&self, app: &str, username: &str) -> Result<(), ClientError> {
        self.tell(&format!("/v2/apps/{}/perms/", part(app)), &grant(username))
    }

    pub fn remove_collaborator(&self, app: &str, username: &str) -> Result<(), ClientError> {
        self.delete(&format!("/v2/apps/{}/perms/{}", part(app), part(username)))
    }

    pub fn administrators(&self, limit: i64) -> Result<Page<Administrator>, ClientError> {
        self.get(&format!("/v2/admin/perms/?limit={limit}"))
    }

    pub fn add_administrator(&self, username: &str) -> Result<(), ClientError> {
        self.tell("/v2/admin/perms/", &grant(username))
    }

    pub fn remove_administrator(&self, username: &str) -> Result<(), ClientError> {
        self.delete(&format!("/v2/admin/perms/{}", part(username)))
    }
}

fn grant(username: &str) -> Grant {
    Grant { username: username.to_owned() }
}
