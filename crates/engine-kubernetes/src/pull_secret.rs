//! The Secret by which nodes pull an app's images: it opens that app's repository and no other.

use domain::AppName;
use domain::registry_access::Credential;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use serde_json::json;

use super::objects::{metadata, secrets};
use super::{ImageRegistrySettings, names};

/// The app's pull secret.
pub fn pull_secret(registry: &ImageRegistrySettings, app: &AppName) -> Secret {
    let Credential { username, password } = registry.pull_credential(app);
    let host = registry.node_host.split('/').next().unwrap_or_default();
    let config = json!({ "auths": { host: { "username": username, "password": password } } });
    let config = (".dockerconfigjson".to_owned(), ByteString(config.to_string().into_bytes()));
    Secret {
        metadata: metadata(names::PULL_SECRET, names::app_labels(app)),
        data: Some([config, secrets::here()].into()),
        type_: Some("kubernetes.io/dockerconfigjson".to_owned()),
        ..Secret::default()
    }
}
