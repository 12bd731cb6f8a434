//! Domains (api.md 4.14).

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Domain {
    pub owner: String,
    pub created: String,
    pub updated: String,
    pub app: String,
    pub domain: String,
}

/// Body of `POST …/domains/`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NewDomain {
    pub domain: String,
}
