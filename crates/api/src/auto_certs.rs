//! Certificates that the platform gets by itself for the domains of an app.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct AutoCerts {
    pub app: String,
    /// Whether the app's domains are to get them.
    pub enabled: bool,
    /// Whether the platform gets any.
    pub offered: bool,
    /// By name.
    pub domains: Vec<AutoDomain>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct AutoDomain {
    pub domain: String,
    /// `issued`, `due`, `ordered`, `failed` (there is a next try), `off`; or why there will be none: `uploaded`
    /// (a user brought one), `platform` (served with the platform's), `wildcard` (needs DNS-01).
    pub state: String,
    /// Name of the certificate that it is served with.
    pub certificate: Option<String>,
    pub expires: Option<String>,
    /// Why the last try failed.
    pub error: Option<String>,
    pub tried: Option<String>,
    pub next_try: Option<String>,
}

/// Body of `POST /v2/apps/{app}/certs/auto/`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AutoCertsWish {
    pub enabled: bool,
}
