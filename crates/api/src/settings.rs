//! App settings (docs/spec/api.md 4.16); only what reading needs so far.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

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
}
