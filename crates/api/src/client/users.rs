//! Users.

use super::{Client, ClientError};
use crate::Page;
use crate::users::User;

impl Client {
    /// All users; for administrators.
    pub fn users(&self, limit: i64) -> Result<Page<User>, ClientError> {
        self.get(&format!("/v2/users/?limit={limit}"))
    }
}
