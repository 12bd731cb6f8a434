//! HTTPS enforcement of an app (docs/spec/api.md 4.18).

use serde::{Deserialize, Serialize};

pub const TLS_PATH: &str = "/v2/apps/{app}/tls";

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

/// Body of `POST …/tls/`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct TlsChange {
    pub https_enforced: Option<bool>,
}
