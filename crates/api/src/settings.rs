//! App settings (api.md 4.16); only what reading needs so far.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Settings {
    pub uuid: String,
    pub app: String,
    pub owner: String,
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
    /// Requests are told in the app's log. Controllers before this one do not say.
    #[serde(default)]
    pub access_log: Option<bool>,
}
