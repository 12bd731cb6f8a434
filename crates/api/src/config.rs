//! Config: values, limits, tags, registry and health checks of an app (api.md 4.7).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Each group is an object; values are texts in all but `healthcheck`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Config {
    pub uuid: String,
    pub app: String,
    pub owner: String,
    #[serde(default)]
    pub values: Map<String, Value>,
    #[serde(default)]
    pub memory: Map<String, Value>,
    #[serde(default)]
    pub lifecycle_post_start: Map<String, Value>,
    #[serde(default)]
    pub lifecycle_pre_stop: Map<String, Value>,
    #[serde(default)]
    pub cpu: Map<String, Value>,
    #[serde(default)]
    pub tags: Map<String, Value>,
    #[serde(default)]
    pub registry: Map<String, Value>,
    #[serde(default)]
    pub healthcheck: Map<String, Value>,
    #[serde(default)]
    pub termination_grace_period: Map<String, Value>,
    pub created: String,
    pub updated: String,
}
