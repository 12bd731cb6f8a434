//! Users.

use super::{Client, ClientError, folder};
use crate::Page;
use crate::users::{USERS_PATH, User};

impl Client {
    /// All users; for administrators.
    pub fn users(&self, limit: i64) -> Result<Page<User>, ClientError> {
        self.get(&format!("{}?limit={limit}", folder(USERS_PATH, [])))
    }
}
