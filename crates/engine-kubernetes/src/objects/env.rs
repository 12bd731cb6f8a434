//! The environment of a release: one Secret for all process types, each with keys of its own.

use domain::ProcessType;
use domain::deployment::Workload;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;

use super::{metadata, secrets};
use crate::names;

/// Key of a variable in the Secret. Process types may differ in a value.
pub fn key(process: &ProcessType, variable: &str) -> String {
    format!("{process}.{variable}")
}

/// The part of one workload in its release's Secret, applied by a field manager of its own.
pub fn secret(workload: &Workload) -> Secret {
    let mut labels = names::app_labels(&workload.id.app);
    labels.insert(names::VERSION_LABEL.to_owned(), names::version(workload.release));
    labels.insert(names::TYPE_LABEL.to_owned(), "env".to_owned());
    let process = &workload.id.process;
    let data =
        workload.env.iter().map(|(name, value)| (key(process, name), ByteString(value.clone().into())));
    Secret {
        metadata: metadata(&names::env_secret(&workload.id.app, workload.release), labels),
        data: Some(data.chain([secrets::here()]).collect()),
        type_: Some("Opaque".to_owned()),
        ..Secret::default()
    }
}

pub fn field_manager(process: &ProcessType) -> String {
    format!("{}-{process}", names::FIELD_MANAGER)
}
