//! The RoleBinding by which the controller may act in an app's namespace.

use k8s_openapi::api::rbac::v1::{RoleBinding, RoleRef, Subject};

use super::metadata;
use crate::names;

/// Binds the ClusterRole of this name for the controller of the platform.
pub fn binding(role: &str, platform_namespace: &str) -> RoleBinding {
    let labels = names::labels([(names::HERITAGE_LABEL, names::HERITAGE)]);
    RoleBinding {
        metadata: metadata(names::CONTROLLER_ACCOUNT, labels),
        role_ref: RoleRef {
            api_group: "rbac.authorization.k8s.io".to_owned(),
            kind: "ClusterRole".to_owned(),
            name: role.to_owned(),
        },
        subjects: Some(vec![Subject {
            kind: "ServiceAccount".to_owned(),
            name: names::CONTROLLER_ACCOUNT.to_owned(),
            namespace: Some(platform_namespace.to_owned()),
            api_group: None,
        }]),
    }
}
