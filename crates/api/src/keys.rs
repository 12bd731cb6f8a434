//! SSH keys (docs/spec/api.md 4.4).

use serde::{Deserialize, Serialize};

pub const KEYS_PATH: &str = "/v2/keys";
/// Ids may contain slashes.
pub const KEY_PATH: &str = "/v2/keys/{*id}";

/// An SSH key as the API returns it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Key {
    pub uuid: String,
    pub owner: String,
    pub created: String,
    pub updated: String,
    /// Name that the user gave the key, unique on the platform.
    pub id: String,
    /// The line of `authorized_keys`: type, base64, comment.
    pub public: String,
    /// MD5 of the key blob as colon-separated hex pairs; for display only.
    pub fingerprint: String,
}

/// Body of `POST /v2/keys/`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct NewKey {
    pub id: String,
    pub public: String,
}
