//! Collaborators of an app and administrators (docs/spec/api.md 4.3, 4.6).

use serde::{Deserialize, Serialize};

pub const COLLABORATORS_PATH: &str = "/v2/apps/{app}/perms";
pub const COLLABORATOR_PATH: &str = "/v2/apps/{app}/perms/{username}";
pub const ADMINISTRATORS_PATH: &str = "/v2/admin/perms";
pub const ADMINISTRATOR_PATH: &str = "/v2/admin/perms/{username}";

/// `GET /v2/apps/{app}/perms/`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Collaborators {
    pub users: Vec<String>,
}

/// Body that names a user.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Grant {
    pub username: String,
}

/// A row of `GET /v2/admin/perms/`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Administrator {
    pub username: String,
    pub is_superuser: bool,
}
