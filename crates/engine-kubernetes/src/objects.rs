//! Kubernetes objects for a desired state: pure, so that the same state always gives the same objects.

pub mod autoscaler;
pub mod budget;
pub mod certificate;
pub mod deployment;
pub mod env;
pub mod namespace;
pub mod path_service;
pub mod pod;
pub mod policy;
pub mod probe;
pub mod rights;
pub mod secrets;
pub mod service;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::names::Labels;

pub fn metadata(name: &str, labels: Labels) -> ObjectMeta {
    ObjectMeta { name: Some(name.to_owned()), labels: Some(labels), ..ObjectMeta::default() }
}

/// Kubernetes counts in signed numbers.
pub fn signed(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests;
