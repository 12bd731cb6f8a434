//! The Deployment of a workload. A change of the number of replicas leaves the pods' template as it was.

use std::collections::BTreeMap;

use domain::Digest;
use domain::deployment::{Replicas, Workload};
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{metadata, pod, signed};
use crate::{KubernetesSettings, names};
use engine::rollout::replica::spec_hash;

/// Seconds that a process without a readiness check must run to count as ready: processes that cannot start mostly
/// end within it.
const STEADY_SECONDS: i32 = 2;
/// Shown by `kubectl rollout history`.
const CAUSE_ANNOTATION: &str = "kubernetes.io/change-cause";
const SUMMARY_VARIABLE: &str = "WORKFLOW_RELEASE_SUMMARY";
/// Longer than any time that a desired state gets: it is the engine that gives up.
const PROGRESS_SECONDS: i32 = 7 * 24 * 60 * 60;

/// The Deployment with so many replicas; `image` is what nodes pull.
pub fn deployment(
    settings: &KubernetesSettings,
    workload: &Workload,
    image: &str,
    replicas: i32,
) -> Deployment {
    let labels = names::workload_labels(&workload.id);
    let mut deployment = Deployment {
        metadata: metadata(&workload.id.to_string(), labels.clone()),
        spec: Some(DeploymentSpec {
            replicas: None,
            revision_history_limit: workload.revisions_kept.map(signed),
            min_ready_seconds: workload.probes.readiness.is_none().then_some(STEADY_SECONDS),
            progress_deadline_seconds: Some(PROGRESS_SECONDS),
            selector: LabelSelector { match_labels: Some(labels), ..LabelSelector::default() },
            strategy: Some(strategy(workload)),
            template: template(settings, workload, image),
            ..DeploymentSpec::default()
        }),
        status: None,
    };
    let mut annotations =
        BTreeMap::from([(names::APPLIED_ANNOTATION.to_owned(), fingerprint(&deployment, workload))]);
    let cause = workload.env.get(SUMMARY_VARIABLE);
    annotations.extend(cause.map(|cause| (CAUSE_ANNOTATION.to_owned(), cause.clone())));
    deployment.metadata.annotations = Some(annotations);
    if let Some(spec) = &mut deployment.spec {
        spec.replicas = Some(replicas);
    }
    deployment
}

/// Number of replicas for a Deployment that has `current` now: an autoscaled one keeps its number within the
/// bounds.
pub fn replicas(wanted: Replicas, current: Option<i32>) -> i32 {
    match wanted {
        Replicas::Fixed(count) => signed(count),
        Replicas::Auto { min, max, .. } => {
            let (min, max) = (signed(min), signed(max.max(min)));
            current.unwrap_or(min).clamp(min, max)
        }
    }
}

/// Hash of all that is applied for the workload, but for a fixed number of replicas.
fn fingerprint(deployment: &Deployment, workload: &Workload) -> String {
    let scaling = match workload.replicas {
        Replicas::Fixed(count) => Replicas::Fixed(count.min(workload.batch)),
        auto => auto,
    };
    let all = serde_json::to_vec(&(deployment, scaling)).expect("objects have only text keys");
    Digest::of(&all).hex()[..16].to_owned()
}

/// None of the old ones goes before a new one is ready.
fn strategy(workload: &Workload) -> DeploymentStrategy {
    let surge = workload.replicas.at_least().min(workload.batch).max(1);
    DeploymentStrategy {
        type_: Some("RollingUpdate".to_owned()),
        rolling_update: Some(RollingUpdateDeployment {
            max_surge: Some(IntOrString::Int(signed(surge))),
            max_unavailable: Some(IntOrString::Int(0)),
        }),
    }
}

fn template(settings: &KubernetesSettings, workload: &Workload, image: &str) -> PodTemplateSpec {
    let mut labels = names::workload_labels(&workload.id);
    labels.insert(names::VERSION_LABEL.to_owned(), names::version(workload.release));
    let annotations = BTreeMap::from([(names::SPEC_ANNOTATION.to_owned(), spec_hash(workload))]);
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(labels),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        }),
        spec: Some(pod::spec(settings, workload, image)),
    }
}
