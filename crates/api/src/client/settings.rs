//! Routing and scaling of an app without a release: settings, TLS, whitelist.

use serde_json::Value;

use super::{Client, ClientError, folder};
use crate::settings::{SETTINGS_PATH, Settings};
use crate::tls::{TLS_PATH, Tls, TlsChange};
use crate::whitelist::{WHITELIST_PATH, Whitelist};

impl Client {
    /// Fetches the settings of an app.
    pub fn settings(&self, app: &str) -> Result<Settings, ClientError> {
        self.get(&folder(SETTINGS_PATH, [app]))
    }

    /// Patches the settings, for example `{"maintenance": true}`.
    ///
    /// # Errors
    ///
    /// [`ClientError::Status`] with 409 where the patch changes nothing, with 422 for removing what is not set
    /// (docs/spec/api.md 4.16).
    pub fn change_settings(&self, app: &str, patch: &Value) -> Result<(), ClientError> {
        self.tell(&folder(SETTINGS_PATH, [app]), patch)
    }

    /// Fetches the HTTPS enforcement of an app.
    pub fn tls(&self, app: &str) -> Result<Tls, ClientError> {
        self.get(&folder(TLS_PATH, [app]))
    }

    /// Turns HTTPS enforcement of an app on or off.
    ///
    /// # Errors
    ///
    /// [`ClientError::Status`] with 409 where it has that value already.
    pub fn enforce_https(&self, app: &str, enforced: bool) -> Result<(), ClientError> {
        self.tell(&folder(TLS_PATH, [app]), &TlsChange { https_enforced: Some(enforced) })
    }

    /// Fetches the whitelist of an app.
    pub fn whitelist(&self, app: &str) -> Result<Whitelist, ClientError> {
        self.get(&folder(WHITELIST_PATH, [app]))
    }

    /// Adds addresses to the whitelist of an app.
    pub fn add_to_whitelist(&self, app: &str, addresses: &Whitelist) -> Result<(), ClientError> {
        self.tell(&folder(WHITELIST_PATH, [app]), addresses)
    }

    /// Removes addresses from the whitelist, all of them or none.
    ///
    /// # Errors
    ///
    /// [`ClientError::Status`] with 422 where one of them is not on it.
    pub fn remove_from_whitelist(&self, app: &str, addresses: &Whitelist) -> Result<(), ClientError> {
        self.delete_with(&folder(WHITELIST_PATH, [app]), addresses)
    }
}
