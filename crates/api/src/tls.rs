//! Whether an app is served over HTTPS alone (api.md 4.18).

use serde::{Deserialize, Serialize};

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
