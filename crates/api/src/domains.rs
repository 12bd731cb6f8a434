//! Domains (docs/spec/api.md 4.14).

use serde::{Deserialize, Serialize};

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
pub struct NewDomain {
    pub domain: String,
}
