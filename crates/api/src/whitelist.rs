//! Addresses that may reach an app (docs/spec/api.md 4.17).

use serde::{Deserialize, Serialize};

pub const WHITELIST_PATH: &str = "/v2/apps/{app}/whitelist";

/// Answer of GET and POST, body of POST and DELETE.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Whitelist {
    pub addresses: Vec<String>,
}
