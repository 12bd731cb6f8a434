//! Certificates (docs/spec/api.md 4.15).

use serde::{Deserialize, Serialize};

pub const CERTS_PATH: &str = "/v2/certs";
pub const CERT_PATH: &str = "/v2/certs/{name}";
pub const CERT_DOMAINS_PATH: &str = "/v2/certs/{name}/domain";
pub const CERT_DOMAIN_PATH: &str = "/v2/certs/{name}/domain/{domain}";

/// A certificate as the API returns it, without its PEM texts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Cert {
    /// Number of the certificate, unique on the platform.
    pub id: u64,
    pub owner: String,
    /// Names of the domains that it is attached to.
    #[serde(default)]
    pub domains: Vec<String>,
    /// DNS names that it is good for.
    #[serde(default)]
    pub san: Vec<String>,
    pub created: String,
    pub updated: String,
    pub name: String,
    pub common_name: Option<String>,
    /// SHA-256 of the certificate as upper-case hex pairs with colons.
    #[serde(default)]
    pub fingerprint: String,
    /// End of its validity.
    pub expires: Option<String>,
    /// Start of its validity.
    pub starts: Option<String>,
    #[serde(default)]
    pub issuer: String,
    #[serde(default)]
    pub subject: String,
    /// The platform got it by itself and renews it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub automatic: bool,
}

/// Body of `POST /v2/certs/`. Neither text is ever answered back.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct NewCert {
    /// PEM; a chain may be with it.
    pub certificate: String,
    /// PEM.
    pub key: String,
    pub name: String,
    /// Adds it even where it has expired.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[cfg_attr(feature = "schema", schema(nullable))]
    pub force: bool,
}
