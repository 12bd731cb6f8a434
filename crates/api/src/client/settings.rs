//! Routing and scaling of an app without a release: settings, TLS, whitelist.

use serde_json::{Value, json};

use super::{Client, ClientError, part};
use crate::settings::Settings;
use crate::tls::Tls;
use crate::whitelist::Whitelist;

impl Client {
    /// Fetches the settings of an app.
    pub fn settings(&self, app: &str) -> Result<Settings, ClientError> {
        self.get(&format!("/v2/apps/{}/settings/", part(app)))
    }

    /// Patches the settings, for example `{"maintenance": true}`.
    ///
    /// # Errors
    ///
    /// [`ClientError::Status`] with 409 where the patch changes nothing, with 422 for removing what is not set
    /// (docs/spec/api.md 4.16).
    pub fn change_settings(&self, app: &str, patch: &Value) -> Result<(), ClientError> {
        self.tell(&format!("/v2/apps/{}/settings/", part(app)), patch)
    }

    /// Fetches the HTTPS enforcement of an app.
    pub fn tls(&self, app: &str) -> Result<Tls, ClientError> {
        self.get(&format!("/v2/apps/{}/tls/", part(app)))
    }

    /// Turns HTTPS enforcement of an app on or off.
    ///
    /// # Errors
    ///
    /// [`ClientError::Status`] with 409 where it has that value already.
    pub fn enforce_https(&self, app: &str, enforced: bool) -> Result<(), ClientError> {
        self.tell(&format!("/v2/apps/{}/tls/", part(app)), &json!({ "https_enforced": enforced }))
    }

    /// Fetches the whitelist of an app.
    pub fn whitelist(&self, app: &str) -> Result<Whitelist, ClientError> {
        self.get(&format!("/v2/apps/{}/whitelist/", part(app)))
    }

    /// Adds addresses to the whitelist of an app.
    pub fn add_to_whitelist(&self, app: &str, addresses: &Whitelist) -> Result<(), ClientError> {
        self.tell(&format!("/v2/apps/{}/whitelist/", part(app)), addresses)
    }

    /// Removes addresses from the whitelist, all of them or none.
    ///
    /// # Errors
    ///
    /// [`ClientError::Status`] with 422 where one of them is not on it.
    pub fn remove_from_whitelist(&self, app: &str, addresses: &Whitelist) -> Result<(), ClientError> {
        self.delete_with(&format!("/v2/apps/{}/whitelist/", part(app)), addresses)
    }
}
