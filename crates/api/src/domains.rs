//! Domains (docs/spec/api.md 4.14).

use serde::{Deserialize, Serialize};

pub const DOMAINS_PATH: &str = "/v2/apps/{app}/domains";
pub const DOMAIN_PATH: &str = "/v2/apps/{app}/domains/{domain}";

/// A domain of an app as the API returns it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Domain {
    pub owner: String,
    pub created: String,
    pub updated: String,
    pub app: String,
    /// Host name in lower case as A-labels; without a dot, a name under the platform domain.
    pub domain: String,
}

/// Body of `POST …/domains/`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct NewDomain {
    pub domain: String,
}
