//! Config: values, limits, tags, registry and health checks.

use serde_json::Value;

use super::{Client, ClientError, folder};
use crate::config::{CONFIG_PATH, Config};

impl Client {
    /// Fetches the current config of an app.
    pub fn config(&self, app: &str) -> Result<Config, ClientError> {
        self.get(&folder(CONFIG_PATH, [app]))
    }

    /// Patches the config, for example `{"values": {"A": "1", "B": null}}`; returns when it is deployed.
    ///
    /// # Errors
    ///
    /// [`ClientError::Status`] with 409 where the patch changes nothing, with 400 or 422 for one that is refused,
    /// and with the reason where the deploy failed.
    pub fn change_config(&self, app: &str, patch: &Value) -> Result<Config, ClientError> {
        self.post(&folder(CONFIG_PATH, [app]), patch)
    }
}
