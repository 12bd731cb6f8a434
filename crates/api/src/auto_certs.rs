//! Certificates that the platform gets by itself for the domains of an app.

use serde::{Deserialize, Serialize};

pub const AUTO_CERTS_PATH: &str = "/v2/apps/{app}/certs/auto";

/// Automatic certificates of an app: its choice, and the state of each domain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct AutoCerts {
    pub app: String,
    /// True if the app wants automatic certificates.
    pub enabled: bool,
    /// True if the platform offers them.
    pub offered: bool,
    /// By name.
    pub domains: Vec<AutoDomain>,
}

/// State of the automatic certificate of one domain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct AutoDomain {
    pub domain: String,
    /// `issued`, `due`, `ordered`, `failed` (there is a next try), `off`; or why there will be none: `uploaded`
    /// (a user brought one), `platform` (served with the platform's), `wildcard` (needs DNS-01).
    pub state: String,
    /// Name of the certificate that it is served with.
    pub certificate: Option<String>,
    /// End of the validity of the certificate that is served.
    pub expires: Option<String>,
    /// Reason of the last failure.
    pub error: Option<String>,
    /// Time of the last try.
    pub tried: Option<String>,
    pub next_try: Option<String>,
}

/// Body of `POST /v2/apps/{app}/certs/auto/`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct AutoCertsChange {
    pub enabled: bool,
}
