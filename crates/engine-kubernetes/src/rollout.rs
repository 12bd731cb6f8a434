//! One pass over a workload: compares its desired state with the observed one, acts, and returns the time of the
//! next pass.
//!
//! It does not depend on events. Everything it needs to continue after a restart is in the cluster.

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::deployment::{Workload, WorkloadId};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{Pod, Secret};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{DeleteParams, ListParams, Preconditions};

use super::crashes::CrashCounts;
use super::failure::{failed, gone_is_fine};
use super::objects::{autoscaler, budget, deployment, env};
use super::observed_state::ObservedState;
use super::replicas::Replica;
use super::{Inner, names};
use engine::EngineError;
use engine::rollout::desired_state::DesiredState;
use engine::rollout::failure_text;
use engine::rollout::judge::{RolloutState, StartTimes};
use engine::rollout::replica::spec_hash;

/// Next action after a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextPass {
    /// Nothing is wanted of the workload and nothing is there.
    Gone,
    /// All is as it should be.
    Rest,
    Again,
    /// At the latest after this time.
    Within(Duration),
}

/// State that is kept from one pass to the next.
pub struct Rollout {
    inner: Arc<Inner>,
    id: WorkloadId,
    /// The desired state under way, and the time since when its pods are observed.
    under_way: Option<(Workload, StartTimes)>,
    counted: CrashCounts,
}

impl Rollout {
    pub fn new(inner: Arc<Inner>, id: WorkloadId) -> Self {
        Self { inner, id, under_way: None, counted: CrashCounts::default() }
    }

    pub async fn reconcile(&mut self) -> Result<NextPass, EngineError> {
        let reconciled = self.compare().await;
        if reconciled.is_err() {
            // It may be that the namespace has gone.
            self.inner.prepared().remove(&self.id.app);
        }
        reconciled
    }

    async fn compare(&mut self) -> Result<NextPass, EngineError> {
        let inner = Arc::clone(&self.inner);
        let Some(desired) = inner.desired_state(&self.id).await? else {
            inner.clear(&self.id).await?;
            return Ok(NextPass::Gone);
        };
        let Some(workload) = desired.wanted.clone() else {
            inner.clear(&self.id).await?;
            inner.publish_wanted(&self.id.app).await?;
            return Ok(NextPass::Rest);
        };
        if desired.is_given_up() {
            self.under_way = None;
            return Ok(NextPass::Rest);
        }
        let deployment = match self.make(&desired, &workload).await? {
            ApplyResult::Deployment(deployment) => deployment,
            ApplyResult::Refused(reason) => return self.give_up(&workload, &reason).await,
        };
        let pods = inner.replicas(&self.id).await?;
        for (pod, crashes) in self.counted.news(&pods) {
            inner.crashes.report(&desired, pod.spec.as_deref().unwrap_or_default(), &pod.name, crashes);
        }
        let observed = ObservedState::new(&deployment, &pods, &spec_hash(&workload));
        if observed.is_whole() {
            inner.delete_detached(&self.id, &pods).await?;
        }
        if desired.is_settled {
            // Not before: waiting callers have the outcome by now.
            if self.under_way.is_some() {
                inner.sweep(&self.id).await?;
                self.under_way = None;
            }
            return Ok(NextPass::Rest);
        }
        self.carry_out(&workload, &observed).await
    }

    async fn carry_out(
        &mut self,
        workload: &Workload,
        observed: &ObservedState,
    ) -> Result<NextPass, EngineError> {
        let now = Instant::now();
        if self.under_way.as_ref().is_none_or(|(known, _)| known != workload) {
            let times = StartTimes::new(self.inner.settings.waits_for_nodes);
            self.under_way = Some((workload.clone(), times));
        }
        let Some((_, times)) = &mut self.under_way else { return Ok(NextPass::Again) };
        times.note(&observed.replicas, now);
        match observed.judge(workload, times, now) {
            RolloutState::Wait(wait) => Ok(NextPass::Within(wait)),
            RolloutState::Done => {
                self.inner.change_known_desired_state(&self.id, |desired| desired.settle(workload)).await?;
                Ok(NextPass::Again)
            }
            RolloutState::Fails(failure) => {
                let reason = self.inner.explain(workload, &failure).await;
                self.give_up(workload, &reason).await
            }
        }
    }

    async fn give_up(&self, workload: &Workload, reason: &str) -> Result<NextPass, EngineError> {
        tracing::info!(workload = %workload.id, release = workload.release, "gave up a rollout");
        let give_up = |desired: &mut DesiredState| desired.give_up(workload, reason.to_owned());
        self.inner.change_known_desired_state(&self.id, give_up).await?;
        Ok(NextPass::Again)
    }

    /// Applies what the workload needs, unless it was applied before.
    async fn make(&self, desired: &DesiredState, workload: &Workload) -> Result<ApplyResult, EngineError> {
        let inner = &self.inner;
        if !desired.is_settled
            && let Some((name, value)) = inner.missing_tag(workload).await?
        {
            return Ok(ApplyResult::Refused(failure_text::no_node_with(&name, &value)));
        }
        inner.ensure_namespace(&self.id.app).await?;
        inner.publish_wanted(&self.id.app).await?;
        match inner.apply_workload(workload).await {
            Ok(deployment) => Ok(ApplyResult::Deployment(Box::new(deployment))),
            // Trying again will not help: the desired state itself is not to be had.
            Err(EngineError::Refused { reason, .. }) if !desired.is_settled => {
                Ok(ApplyResult::Refused(reason))
            }
            Err(error) => Err(error),
        }
    }
}

enum ApplyResult {
    Deployment(Box<Deployment>),
    Refused(String),
}

impl Inner {
    async fn apply_workload(&self, workload: &Workload) -> Result<Deployment, EngineError> {
        let (id, app) = (&workload.id, &workload.id.app);
        let what = format!("apply {id}");
        let image = self.settings.registry.reference(app, &workload.image);
        let found = self.api::<Deployment>(app).get_opt(&id.to_string()).await;
        let found = found.map_err(|error| failed(&what, error))?;
        let current = found.as_ref().and_then(|found| found.spec.as_ref()?.replicas);
        let replicas = deployment::replicas(workload.replicas, current);
        let wanted = deployment::deployment(&self.settings, workload, &image, replicas);
        if let Some(found) = found.filter(|found| is_applied(found, &wanted)) {
            return Ok(found);
        }
        self.apply_all(workload, &wanted).await.map_err(|error| failed(&what, error))
    }

    /// The Deployment comes last: it shows that everything was applied.
    async fn apply_all(&self, workload: &Workload, wanted: &Deployment) -> Result<Deployment, kube::Error> {
        let (id, app) = (&workload.id, &workload.id.app);
        self.apply_as(&env::field_manager(&id.process), app, &env::secret(workload)).await?;
        let (scaler, budget) = (autoscaler::autoscaler(workload), budget::budget(workload));
        let name = id.to_string();
        self.apply_or_delete::<HorizontalPodAutoscaler>(app, &name, scaler.as_ref()).await?;
        self.apply_or_delete::<PodDisruptionBudget>(app, &name, budget.as_ref()).await?;
        self.apply(app, wanted).await
    }

    /// Removes what was made for a workload.
    pub(super) async fn clear(&self, id: &WorkloadId) -> Result<(), EngineError> {
        let (app, name) = (&id.app, id.to_string());
        let deleted = async {
            self.delete::<HorizontalPodAutoscaler>(app, &name).await?;
            self.delete::<PodDisruptionBudget>(app, &name).await?;
            self.delete::<Deployment>(app, &name).await?;
            let detached =
                format!("{},{}", names::selector(&names::workload_labels(id)), names::DETACHED_LABEL);
            let detached = ListParams::default().labels(&detached);
            gone_is_fine(self.api::<Pod>(app).delete_collection(&DeleteParams::default(), &detached).await)
        };
        match deleted.await {
            Err(error) if self.spaces.explains(app, &error).await => Ok(()),
            done => done.map_err(|error| failed(&format!("remove {id}"), error)),
        }
    }

    /// Pods that a restart detached go once their successors serve.
    async fn delete_detached(&self, id: &WorkloadId, pods: &[Replica]) -> Result<(), EngineError> {
        for pod in pods.iter().filter(|pod| pod.is_detached && !pod.is_leaving) {
            let preconditions = Preconditions { uid: Some(pod.uid.clone()), resource_version: None };
            let params = DeleteParams::default().preconditions(preconditions);
            let deleted = self.api::<Pod>(&id.app).delete(&pod.name, &params).await;
            gone_is_fine(deleted).map_err(|error| failed(&format!("delete the pod {}", pod.name), error))?;
        }
        Ok(())
    }

    /// The first tag that no node has together with those before it.
    async fn missing_tag(&self, workload: &Workload) -> Result<Option<(String, String)>, EngineError> {
        let mut tags = names::Labels::new();
        for (name, value) in &workload.tags {
            tags.insert(name.clone(), value.clone());
            if !self.has_node(&tags).await? {
                return Ok(Some((name.clone(), value.clone())));
            }
        }
        Ok(None)
    }

    /// Removes the environments of releases that nothing could run any more.
    async fn sweep(&self, id: &WorkloadId) -> Result<(), EngineError> {
        let what = format!("remove old environments of {}", id.app);
        let app_labels = names::selector(&names::app_labels(&id.app));
        let sets = self.api::<ReplicaSet>(&id.app);
        let sets = sets.list_metadata(&ListParams::default().labels(&app_labels)).await;
        let sets = sets.map_err(|error| failed(&what, error))?.items;
        let used: Vec<_> =
            sets.iter().filter_map(|set| names::release(set.metadata.labels.as_ref())).collect();
        let env = ListParams::default().labels(&format!("{app_labels},{}=env", names::TYPE_LABEL));
        let secrets = self.api::<Secret>(&id.app);
        let found = secrets.list_metadata(&env).await.map_err(|error| failed(&what, error))?.items;
        for secret in found {
            let Some(release) = names::release(secret.metadata.labels.as_ref()) else { continue };
            // A newer one may belong to a desired state whose pods are still to come.
            let is_old = used.iter().max().is_some_and(|newest| release < *newest);
            if is_old && !used.contains(&release) {
                let name = secret.metadata.name.unwrap_or_default();
                self.delete::<Secret>(&id.app, &name).await.map_err(|error| failed(&what, error))?;
            }
        }
        Ok(())
    }
}

/// Returns true if the Deployment is as desired, as far as the engine sets it.
fn is_applied(found: &Deployment, wanted: &Deployment) -> bool {
    let applied = |it: &Deployment| {
        let annotations = it.metadata.annotations.as_ref();
        annotations.and_then(|all| all.get(names::APPLIED_ANNOTATION).cloned())
    };
    let replicas = |it: &Deployment| it.spec.as_ref().and_then(|spec| spec.replicas);
    applied(found) == applied(wanted) && replicas(found) == replicas(wanted)
}
