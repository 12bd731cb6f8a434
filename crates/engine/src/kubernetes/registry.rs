//! Where images are: how nodes pull them and how the platform reaches the same registry.

use std::fmt;

/// The registry of built images and of copies of the users' images.
#[derive(Debug, Clone)]
pub struct RegistrySettings {
    /// What the pods' image references start with, such as `127.0.0.1:5555`.
    pub node_host: String,
    /// As the platform's own processes reach it, such as `http://deis-registry.deis.svc.cluster.local`.
    pub push_url: String,
    pub access: RegistryAccess,
    /// Whether images of the users' are copied into the registry and run from there; otherwise nodes pull
    /// them from where they came.
    pub keeps_copies: bool,
}

/// What the registry asks of those who come.
#[derive(Debug, Clone)]
pub enum RegistryAccess {
    /// The managed registry: each app has a credential of its own, derived from this key.
    Managed { key: RegistryKey },
    /// A registry of the operator's.
    External { username: String, password: RegistryKey },
}

/// A secret; never shown.
#[derive(Clone)]
pub struct RegistryKey(pub String);

impl fmt::Debug for RegistryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RegistryKey(..)")
    }
}

impl RegistrySettings {
    /// User name and password by which nodes pull the app's images.
    pub fn pull_credentials(&self, _app: &domain::AppName) -> Option<(String, String)> {
        match &self.access {
            RegistryAccess::Managed { .. } => None,
            RegistryAccess::External { username, password } => Some((username.clone(), password.0.clone())),
        }
    }
}
