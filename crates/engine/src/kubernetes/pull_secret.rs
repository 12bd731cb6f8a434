//! The Secret by which nodes pull an app's images: it opens that app's repository and no other.

use domain::AppName;
use domain::registry_access::Credential;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use serde_json::json;

use super::objects::metadata;
use super::{RegistrySettings, names};

/// The app's pull secret; `None` where the registry asks for nothing.
pub fn pull_secret(registry: &RegistrySettings, app: &AppName) -> Option<Secret> {
    let Credential { username, password } = registry.pull_credential(app);
    let config = json!({ "auths": { &registry.node_host: { "username": username, "password": password } } });
    Some(Secret {
        metadata: metadata(names::PULL_SECRET, names::app_labels(app)),
        data: Some([(".dockerconfigjson".to_owned(), ByteString(config.to_string().into_bytes()))].into()),
        type_: Some("kubernetes.io/dockerconfigjson".to_owned()),
        ..Secret::default()
    })
}
