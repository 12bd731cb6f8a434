//! The PodDisruptionBudget of a workload with several replicas: a drained node takes one at a time.

use domain::deployment::Workload;
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::metadata;
use crate::names;

/// `None` for a single replica: a budget would only keep its node from being drained.
pub fn budget(workload: &Workload) -> Option<PodDisruptionBudget> {
    if workload.replicas.at_least() < 2 {
        return None;
    }
    let labels = names::workload_labels(&workload.id);
    Some(PodDisruptionBudget {
        metadata: metadata(&workload.id.to_string(), labels.clone()),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(LabelSelector { match_labels: Some(labels), ..LabelSelector::default() }),
            // One that is not ready protects nothing.
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
            ..PodDisruptionBudgetSpec::default()
        }),
        status: None,
    })
}
