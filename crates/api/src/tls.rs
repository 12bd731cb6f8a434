//! HTTPS enforcement of an app (docs/spec/api.md 4.18).

use serde::{Deserialize, Serialize};

/// HTTPS enforcement of an app as the API returns it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Tls {
    pub uuid: String,
    pub app: String,
    pub owner: String,
    pub created: String,
    pub updated: String,
    /// `None` until it is first set.
    pub https_enforced: Option<bool>,
}
