//! SSH keys.

use super::{Client, ClientError, parts};
use crate::Page;
use crate::keys::{Key, NewKey};

impl Client {
    pub fn keys(&self, limit: i64) -> Result<Page<Key>, ClientError> {
        self.get(&format!("/v2/keys/?limit={limit}"))
    }

    pub fn add_key(&self, key: &NewKey) -> Result<(), ClientError> {
        self.tell("/v2/keys/", key)
    }

    pub fn remove_key(&self, id: &str) -> Result<(), ClientError> {
        self.delete(&format!("/v2/keys/{}", parts(id)))
    }
}
