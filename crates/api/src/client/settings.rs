//! What changes how an app is routed or scaled, without a release: settings, TLS, whitelist.

use serde_json::{Value, json};

use super::{Client, ClientError, part};
use crate::settings::Settings;
use crate::tls::Tls;
use crate::whitelist::Whitelist;

impl Client {
    pub fn settings(&self, app: &str) -> Result<Settings, ClientError> {
        self.get(&format!("/v2/apps/{}/settings/", part(app)))
    }

    /// Patches the settings, for example `{"maintenance": true}`.
    pub fn change_settings(&self, app: &str, patch: &Value) -> Result<(), ClientError> {
        self.tell(&format!("/v2/apps/{}/settings/", part(app)), patch)
    }

    pub fn tls(&self, app: &str) -> Result<Tls, ClientError> {
        self.get(&format!("/v2/apps/{}/tls/", part(app)))
    }

    pub fn enforce_https(&self, app: &str, enforced: bool) -> Result<(), ClientError> {
        self.tell(&format!("/v2/apps/{}/tls/", part(app)), &json!({ "https_enforced": enforced }))
    }

    pub fn whitelist(&self, app: &str) -> Result<Whitelist, ClientError> {
        self.get(&format!("/v2/apps/{}/whitelist/", part(app)))
    }

    pub fn add_to_whitelist(&self, app: &str, addresses: &Whitelist) -> Result<(), ClientError> {
        self.tell(&format!("/v2/apps/{}/whitelist/", part(app)), addresses)
    }

    pub fn remove_from_whitelist(&self, app: &str, addresses: &Whitelist) -> Result<(), ClientError> {
        self.delete_with(&format!("/v2/apps/{}/whitelist/", part(app)), addresses)
    }
}
