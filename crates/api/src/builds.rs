//! Builds (docs/spec/api.md 4.8).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A build as the API returns it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Build {
    pub owner: String,
    pub app: String,
    /// Image reference as given, or the digest of an image that the platform built.
    pub image: String,
    /// Commit that was pushed; empty for an image.
    pub sha: String,
    /// Process types and their commands.
    #[serde(default, deserialize_with = "crate::null_as_default")]
    pub procfile: BTreeMap<String, String>,
    /// `"true"` for a Dockerfile build, else empty.
    pub dockerfile: String,
    pub created: String,
    pub updated: String,
    pub uuid: String,
}

/// Body of `POST /v2/apps/{app}/builds/`, as the client sends it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct NewBuild {
    pub image: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub procfile: BTreeMap<String, String>,
}
