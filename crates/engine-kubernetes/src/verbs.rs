//! The verbs of the engine: each records a desired state or waits for one; the workloads' tasks do the work.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::time::Duration;

use async_trait::async_trait;
use domain::AppName;
use domain::crashes::Crash;
use domain::deployment::{Workload, WorkloadId};
use domain::pods::{Pod, PodSelection};
use domain::routing::AppRouting;
use futures_util::Stream;
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::{ListParams, ObjectMeta};
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use super::failure::{failed, late};
use super::replicas::shown;
use super::{Inner, KubernetesEngine, names};
use engine::rollout::restart::Restart;
use engine::{Engine, EngineError, Outcome};

/// An event of a watch may be missed while it is taken up again; then the answer is asked for.
const QUIET_MAX: Duration = Duration::from_secs(15);
/// Time beyond the grace period that stopping may take.
const STOP_SECONDS: u64 = 60;

#[async_trait]
impl Engine for KubernetesEngine {
    async fn apply(&self, workload: &Workload) -> Result<(), EngineError> {
        let (inner, id) = (&self.inner, &workload.id);
        let mut recorded = inner.record(workload).await;
        if inner.namespace_may_have_gone(&id.app, &recorded) {
            recorded = inner.record(workload).await;
        }
        recorded?;
        inner.wake(id);
        Ok(())
    }

    async fn outcome(&self, id: &WorkloadId, release: u64) -> Result<Outcome, EngineError> {
        let handle = self.inner.wake(id);
        let mut passes = handle.passes();
        loop {
            let desired = self.inner.desired_state(id).await?;
            let outcome = desired.map_or(Some(Outcome::Superseded), |desired| desired.outcome(release));
            if let Some(outcome) = outcome {
                return Ok(outcome);
            }
            next_pass(&mut passes).await;
        }
    }

    async fn remove(&self, id: &WorkloadId) -> Result<(), EngineError> {
        let inner = &self.inner;
        inner.forget_desired_state(id).await?;
        inner.clear(id).await?;
        let mut passes = inner.wake(id).passes();
        let pods = inner.replicas(id).await?;
        if !pods.is_empty() {
            let seconds = inner.grace_seconds(id).await? + STOP_SECONDS;
            let deadline = Instant::now() + Duration::from_secs(seconds);
            while !inner.replicas(id).await?.is_empty() {
                if Instant::now() > deadline {
                    return Err(late(&format!("remove {id}"), seconds));
                }
                let _ = timeout_at(deadline, next_pass(&mut passes)).await;
            }
        }
        inner.publish_wanted(&id.app).await
    }

    async fn remove_app(&self, app: &AppName) -> Result<(), EngineError> {
        self.inner.remove_namespace(app).await?;
        Ok(self.inner.images.remove_app(app).await?)
    }

    async fn wanted(&self) -> Result<Vec<Workload>, EngineError> {
        let desired_states = self.inner.desired_states().await?;
        Ok(desired_states.into_iter().filter_map(|(_, desired)| desired.wanted).collect())
    }

    async fn wanted_of(&self, app: &AppName) -> Result<Vec<Workload>, EngineError> {
        let desired_states = self.inner.desired_states_of(app).await?;
        Ok(desired_states.into_iter().filter_map(|(_, desired)| desired.wanted).collect())
    }

    async fn name_refusal(&self, app: &AppName) -> Result<Option<String>, EngineError> {
        self.inner.spaces.name_refusal(app).await
    }

    async fn pods(&self, app: &AppName) -> Result<Vec<Pod>, EngineError> {
        let own = format!("{},{}!=run", names::selector(&names::app_labels(app)), names::TYPE_LABEL);
        let pods = self.inner.kubernetes_pods(app, &own).await?;
        Ok(pods.iter().filter_map(|pod| shown(app, pod)).collect())
    }

    async fn restart(&self, app: &AppName, selection: &PodSelection) -> Result<Vec<Pod>, EngineError> {
        let restart = Restart::new(self.pods(app).await?, selection);
        if restart.chosen.is_empty() {
            return Ok(Vec::new());
        }
        self.inner.replace(app, &restart.chosen).await?;
        Ok(restart.successors(self.pods(app).await?))
    }

    fn crashes(&self) -> Pin<Box<dyn Stream<Item = Crash> + Send>> {
        self.inner.crashes.read()
    }

    async fn route(&self, routing: &AppRouting) -> Result<(), EngineError> {
        let app = &routing.app;
        let mut applied = self.inner.apply_routing(routing).await;
        if self.inner.namespace_may_have_gone(app, &applied) {
            applied = self.inner.apply_routing(routing).await;
        }
        applied?;
        self.inner.publish_wanted(app).await
    }

    async fn has_node_with(&self, tags: &BTreeMap<String, String>) -> Result<bool, EngineError> {
        self.inner.has_node(tags).await
    }
}

/// Waits for the next pass over the workload, with a bound.
pub(super) async fn next_pass(passes: &mut watch::Receiver<u64>) {
    let _ = timeout(QUIET_MAX, passes.changed()).await;
}

impl Inner {
    /// The workload whose thing this is, if it is one of this platform's.
    pub(super) fn workload_of(&self, meta: &ObjectMeta) -> Option<WorkloadId> {
        names::workload_of(&self.settings, meta.namespace.as_deref()?, meta.labels.as_ref())
    }

    async fn record(&self, workload: &Workload) -> Result<(), EngineError> {
        self.ensure_namespace(&workload.id.app).await?;
        self.change_desired_state(&workload.id, |desired| desired.ask(workload)).await?;
        if let Err(error) = self.spaces.ring(&workload.id.app).await {
            // This process carries it out, and after its death the next one, which passes everywhere.
            tracing::warn!(workload = %workload.id, %error, "cannot notify other controllers of a desired state");
        }
        Ok(())
    }

    async fn apply_routing(&self, routing: &AppRouting) -> Result<(), EngineError> {
        let app = &routing.app;
        self.ensure_namespace(app).await?;
        if let Some(owner) = &routing.owner {
            self.spaces.give_to(app, owner).await?;
        }
        let what = format!("route {app}");
        let certificates = &routing.certificates;
        self.bring_certificates(app, certificates).await.map_err(|error| failed(&what, error))?;
        self.bring_services(routing).await.map_err(|error| failed(&what, error))?;
        self.clear_certificates(app, certificates).await.map_err(|error| failed(&what, error))
    }

    pub(super) async fn has_node(&self, tags: &BTreeMap<String, String>) -> Result<bool, EngineError> {
        let params = ListParams::default().labels(&names::selector(tags)).limit(1);
        let found = Api::<Node>::all(self.client.clone()).list_metadata(&params).await;
        Ok(!found.map_err(|error| failed("look for a node", error))?.items.is_empty())
    }

    /// Longest time that a pod of the workload may take to end.
    async fn grace_seconds(&self, id: &WorkloadId) -> Result<u64, EngineError> {
        let pods = self.kubernetes_pods(&id.app, &names::selector(&names::workload_labels(id))).await?;
        let grace = pods.iter().filter_map(|pod| pod.spec.as_ref()?.termination_grace_period_seconds);
        Ok(grace.max().unwrap_or(0).max(0).unsigned_abs())
    }
}
