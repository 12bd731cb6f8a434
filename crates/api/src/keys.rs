//! SSH keys (api.md 4.4).

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Key {
    pub uuid: String,
    pub owner: String,
    pub created: String,
    pub updated: String,
    pub id: String,
    pub public: String,
    /// MD5 of the key blob as colon-separated hex pairs; for display only.
    pub fingerprint: String,
}

/// Body of `POST /v2/keys/`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NewKey {
    pub id: String,
    pub public: String,
}
