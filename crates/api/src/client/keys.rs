//! SSH keys.

use super::{Client, ClientError, folder, path};
use crate::Page;
use crate::keys::{KEY_PATH, KEYS_PATH, Key, NewKey};

impl Client {
    /// Lists the caller's SSH keys, ordered by text, at most `limit`.
    pub fn keys(&self, limit: i64) -> Result<Page<Key>, ClientError> {
        self.get(&format!("{}?limit={limit}", folder(KEYS_PATH, [])))
    }

    /// Adds an SSH key.
    ///
    /// # Errors
    ///
    /// [`ClientError::Status`] with 400 for a malformed key, a taken name, or a key that a user has already.
    pub fn add_key(&self, key: &NewKey) -> Result<(), ClientError> {
        self.tell(&folder(KEYS_PATH, []), key)
    }

    /// Removes an SSH key of the caller by its name.
    pub fn remove_key(&self, id: &str) -> Result<(), ClientError> {
        self.delete(&path(KEY_PATH, [id]))
    }
}
