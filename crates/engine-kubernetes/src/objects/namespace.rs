//! The namespace of an app and its quota.

use domain::AppName;
use k8s_openapi::api::core::v1::{Namespace, ResourceQuota};

use super::certificate::short_hash;
use super::metadata;
use crate::{KubernetesSettings, names};

/// Pod Security level: pods that could reach beyond their container are refused there.
const POD_SECURITY: [(&str, &str); 2] = [
    ("pod-security.kubernetes.io/enforce", "baseline"),
    ("pod-security.kubernetes.io/enforce-version", "latest"),
];

pub fn namespace(settings: &KubernetesSettings, app: &AppName) -> Namespace {
    let mut labels = names::app_labels(app);
    labels.extend(names::labels(POD_SECURITY));
    labels.extend(names::labels([(names::PLATFORM_LABEL, settings.platform_namespace.as_str())]));
    Namespace { metadata: metadata(&names::namespace(settings, app), labels), ..Namespace::default() }
}

/// Value of the label that groups apps of one owner.
pub fn owner_label(owner: &str) -> String {
    short_hash(&[owner])
}

/// The operator's quota for every app; the error describes its fault.
pub fn quota(settings: &KubernetesSettings, app: &AppName) -> Result<Option<ResourceQuota>, String> {
    let Some(spec) = &settings.default_quota else { return Ok(None) };
    let spec = serde_json::from_value(spec.clone());
    let spec =
        spec.map_err(|error| format!("the default quota is not the spec of a ResourceQuota: {error}"))?;
    Ok(Some(ResourceQuota {
        metadata: metadata(&format!("{app}-quota"), names::app_labels(app)),
        spec: Some(spec),
        status: None,
    }))
}
