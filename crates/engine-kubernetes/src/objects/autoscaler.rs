//! The HorizontalPodAutoscaler of a workload whose replicas follow the load.

use domain::deployment::{Replicas, Workload};
use k8s_openapi::api::autoscaling::v2::{
    CrossVersionObjectReference, HorizontalPodAutoscaler, HorizontalPodAutoscalerSpec, MetricSpec,
    MetricTarget, ResourceMetricSource,
};

use super::{metadata, signed};
use crate::names;

/// `None` where the number of replicas is fixed.
pub fn autoscaler(workload: &Workload) -> Option<HorizontalPodAutoscaler> {
    let Replicas::Auto { min, max, cpu_percent } = workload.replicas else { return None };
    let cpu = ResourceMetricSource {
        name: "cpu".to_owned(),
        target: MetricTarget {
            type_: "Utilization".to_owned(),
            average_utilization: Some(signed(cpu_percent)),
            ..MetricTarget::default()
        },
    };
    Some(HorizontalPodAutoscaler {
        metadata: metadata(&workload.id.to_string(), names::workload_labels(&workload.id)),
        spec: Some(HorizontalPodAutoscalerSpec {
            // Kubernetes scales nothing to zero.
            min_replicas: Some(signed(min.max(1))),
            max_replicas: signed(max.max(min).max(1)),
            metrics: Some(vec![MetricSpec {
                type_: "Resource".to_owned(),
                resource: Some(cpu),
                ..MetricSpec::default()
            }]),
            scale_target_ref: CrossVersionObjectReference {
                api_version: Some("apps/v1".to_owned()),
                kind: "Deployment".to_owned(),
                name: workload.id.to_string(),
            },
            ..HorizontalPodAutoscalerSpec::default()
        }),
        status: None,
    })
}
