//! The Secret by which nodes pull an app's images: it opens that app's repository and no other.

use domain::AppName;
use domain::registry_access::Credential;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use serde_json::json;

use super::objects::metadata;
use super::{RegistrySettings, names};

/// The app's pull secret.
pub fn pull_secret(registry: &RegistrySettings, app: &AppName) -> Secret {
    let Credential { username, password } = registry.pull_credential(app);
    let host = registry.node_host.split('/').next().unwrap_or_default();
    let config = json!({ "auths": { host: { "username": username, "password": password } } });
    Secret {
        metadata: metadata(names::PULL_SECRET, names::app_labels(app)),
        data: Some([(".dockerconfigjson".to_owned(), ByteString(config.to_string().into_bytes()))].into()),
        type_: Some("kubernetes.io/dockerconfigjson".to_owned()),
        ..Secret::default()
    }
}
