//! Builds (api.md 4.8).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Build {
    pub owner: String,
    pub app: String,
    pub image: String,
    pub sha: String,
    #[serde(default, deserialize_with = "crate::null_as_default")]
    pub procfile: BTreeMap<String, String>,
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
