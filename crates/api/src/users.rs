//! Users (docs/spec/api.md 4.1).

use serde::{Deserialize, Serialize};

pub const USERS_PATH: &str = "/v2/users";
pub const WHOAMI_PATH: &str = "/v2/auth/whoami";

/// An account as the API returns it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct User {
    pub email: String,
    pub username: String,
    #[serde(default, deserialize_with = "crate::null_as_default")]
    pub first_name: String,
    #[serde(default, deserialize_with = "crate::null_as_default")]
    pub last_name: String,
    /// True for an administrator; `is_staff` has the same value.
    pub is_superuser: bool,
    pub is_staff: bool,
    #[serde(default)]
    pub groups: Vec<String>,
    #[serde(default)]
    pub user_permissions: Vec<String>,
    pub last_login: Option<String>,
    pub date_joined: String,
    pub is_active: bool,
}
