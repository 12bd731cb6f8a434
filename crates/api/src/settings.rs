//! App settings (docs/spec/api.md 4.16).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub const SETTINGS_PATH: &str = "/v2/apps/{app}/settings";

/// Settings of an app as the API returns them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Settings {
    pub uuid: String,
    pub app: String,
    pub owner: String,
    /// Rule of each process type, `{"min", "max", "cpu_percent"}`.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schema(value_type = Object))]
    pub autoscale: Map<String, Value>,
    #[serde(default)]
    #[cfg_attr(feature = "schema", schema(value_type = Object))]
    pub label: Map<String, Value>,
    pub created: String,
    pub updated: String,
    pub maintenance: Option<bool>,
    pub routable: Option<bool>,
    #[serde(default)]
    pub whitelist: Vec<String>,
    /// Requests are logged in the app's log. Absent from older controllers.
    #[serde(default)]
    pub access_log: Option<bool>,
    /// The branch whose pushes deploy, `*` for any; null until one was deployed or chosen.
    #[serde(default)]
    pub git_branch: Option<String>,
    /// Kind of the app's builds, `buildpack`, `dockerfile` or `cnb`; null where each push decides.
    #[serde(default)]
    pub build_kind: Option<String>,
    /// Stack of the next build with buildpacks.
    #[serde(default)]
    pub stack: Option<String>,
    /// Builder of Cloud Native Buildpacks, `default` for the platform's; null where none was chosen.
    #[serde(default)]
    pub builder: Option<String>,
    /// Builder of the platform; null where it has none.
    #[serde(default)]
    pub default_builder: Option<String>,
}

/// Body of `POST …/settings/`: settings to change; null removes an entry of an object.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct SettingsChange {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maintenance: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routable: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_log: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(nullable = false))]
    pub whitelist: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[cfg_attr(feature = "schema", schema(value_type = Object))]
    pub autoscale: Map<String, Value>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[cfg_attr(feature = "schema", schema(value_type = Object))]
    pub label: Map<String, Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(nullable = false))]
    pub git_branch: Option<String>,
    /// `buildpack`, `dockerfile`, `cnb`, or `auto` to let each push decide.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(nullable = false))]
    pub build_kind: Option<String>,
    /// Name of a stack of `GET /v2/stacks/`; takes effect at the next build.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(nullable = false))]
    pub stack: Option<String>,
    /// Image of a builder of Cloud Native Buildpacks, `default` for the platform's, or empty to give the choice up; takes
    /// effect at the next build.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(nullable = false))]
    pub builder: Option<String>,
}
