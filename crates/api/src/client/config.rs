//! Config: values, limits, tags, registry and health checks.

use serde_json::Value;

use super::{Client, ClientError, part};
use crate::config::Config;

impl Client {
    pub fn config(&self, app: &str) -> Result<Config, ClientError> {
        self.get(&format!("/v2/apps/{}/config/", part(app)))
    }

    /// Patches the config, for example `{"values": {"A": "1", "B": null}}`; returns when it is deployed.
    pub fn change_config(&self, app: &str, patch: &Value) -> Result<Config, ClientError> {
        self.post(&format!("/v2/apps/{}/config/", part(app)), patch)
    }
}
