//! Restarts pods without losing a request, also where there is just one.
//!
//! A pod whose ReplicaSet does not know it any more is replaced by that, yet the Service still sends it
//! requests. So a pod is detached, its successor becomes ready, and only then does it go; the workload's task
//! sees to that, also after a death of this process.

use domain::AppName;
use domain::deployment::{BATCH_DEFAULT, WorkloadId};
use domain::pods::Pod;
use k8s_openapi::api::core::v1::Pod as KubernetesPod;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use tokio::time::Instant;

use super::failure::{failed, gone_is_fine};
use super::verbs::next_pass;
use super::{Inner, names};
use engine::EngineError;
use engine::rollout::restart::time_max;

impl Inner {
    /// Replaces the pods, some at a time. Where successors do not become ready in time, the old ones stay.
    pub(super) async fn replace(
        self: &std::sync::Arc<Self>,
        app: &AppName,
        pods: &[Pod],
    ) -> Result<(), EngineError> {
        let processes: std::collections::BTreeSet<_> = pods.iter().map(|pod| &pod.process).collect();
        for process in processes {
            let id = WorkloadId { app: app.clone(), process: process.clone() };
            let of_process: Vec<_> = pods.iter().filter(|pod| pod.process == *process).collect();
            let wanted = self.desired_state(&id).await?.and_then(|desired| desired.wanted);
            let batch_max = wanted.map_or(BATCH_DEFAULT, |workload| workload.batch).max(1);
            for batch in of_process.chunks(batch_max as usize) {
                let names: Vec<_> = batch.iter().map(|pod| pod.name.as_str()).collect();
                if !self.replace_batch(&id, &names).await? {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Replaces a batch of pods, and returns true if that was done in time.
    async fn replace_batch(
        self: &std::sync::Arc<Self>,
        id: &WorkloadId,
        pods: &[&str],
    ) -> Result<bool, EngineError> {
        let desired = self.desired_state(id).await?;
        let workload = desired.and_then(|desired| desired.wanted);
        let deadline = Instant::now() + time_max(workload.iter(), pods.len());
        let handle = self.wake(id);
        let mut passes = handle.passes();
        for pod in pods {
            self.detach(&id.app, pod).await?;
        }
        loop {
            let staying = self.replicas(id).await?;
            if !staying.iter().any(|pod| pod.stays() && pods.contains(&pod.name.as_str())) {
                return Ok(true);
            }
            if Instant::now() > deadline {
                for pod in pods {
                    self.attach(&id.app, pod).await?;
                }
                return Ok(false);
            }
            next_pass(&mut passes).await;
        }
    }

    async fn detach(&self, app: &AppName, pod: &str) -> Result<(), EngineError> {
        self.move_label(app, pod, names::TEMPLATE_LABEL, names::DETACHED_LABEL).await
    }

    /// Its ReplicaSet takes it back, and stops one that is too many: rather one that is not ready.
    async fn attach(&self, app: &AppName, pod: &str) -> Result<(), EngineError> {
        self.move_label(app, pod, names::DETACHED_LABEL, names::TEMPLATE_LABEL).await
    }

    async fn move_label(&self, app: &AppName, pod: &str, from: &str, to: &str) -> Result<(), EngineError> {
        let what = format!("restart the pod {pod}");
        let pods = self.api::<KubernetesPod>(app);
        let found = pods.get_metadata_opt(pod).await.map_err(|error| failed(&what, error))?;
        let value = found.and_then(|found| found.metadata.labels?.remove(from));
        let Some(value) = value else { return Ok(()) };
        let change = json!({ "metadata": { "labels": { from: null, to: value } } });
        let changed = pods.patch_metadata(pod, &PatchParams::default(), &Patch::Merge(&change)).await;
        gone_is_fine(changed).map_err(|error| failed(&what, error))
    }
}
