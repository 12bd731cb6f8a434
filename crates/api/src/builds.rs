//! Builds (docs/spec/api.md 4.8).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub const BUILDS_PATH: &str = "/v2/apps/{app}/builds";
pub const BUILD_PATH: &str = "/v2/apps/{app}/builds/{uuid}";

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
    /// Stack of a build with buildpacks; missing for other kinds, and for builds from before there was a choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack: Option<String>,
    /// `buildpack`, `dockerfile` or `cnb`; missing for an image that a user brought.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Half a sentence that says why the source was built in this way; missing where that is not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    pub created: String,
    pub updated: String,
    pub uuid: String,
}

/// Body of `POST /v2/apps/{app}/builds/`, as the client sends it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct NewBuild {
    pub image: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub procfile: BTreeMap<String, String>,
    /// Without effect, as the next two: only the builder says how an image was built.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sha: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub dockerfile: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<u16>,
}
