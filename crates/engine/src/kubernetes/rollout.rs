//! One look at a workload: compares its wish with what runs, acts, and says when to look again.
//!
//! It takes no hint about what changed. All that it needs to go on after a death is in the cluster.

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::deployment::{Workload, WorkloadId};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{Pod, Secret};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{DeleteParams, ListParams, Preconditions};

use super::failure::{failed, gone_is_fine};
use super::judge::{Observed, Seen, Verdict, is_whole, judge};
use super::objects::{autoscaler, budget, deployment, env};
use super::replicas::Replica;
use super::{Inner, names};
use crate::EngineError;
use crate::failure_text;
use crate::replica::spec_hash;
use crate::wish::Wish;

/// What follows a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Nothing is wanted of the workload and nothing is there.
    Gone,
    /// All is as it should be.
    Rest,
    Again,
    /// At the latest after this time.
    Within(Duration),
}

/// What is remembered from one look to the next.
pub struct Rollout {
    inner: Arc<Inner>,
    id: WorkloadId,
    /// The wish under way, and since when its pods are seen.
    under_way: Option<(Workload, Seen)>,
}

impl Rollout {
    pub fn new(inner: Arc<Inner>, id: WorkloadId) -> Self {
        Self { inner, id, under_way: None }
    }

    pub async fn look(&mut self) -> Result<Next, EngineError> {
        let looked = self.compare().await;
        if looked.is_err() {
            // It may be that the namespace has gone.
            self.inner.prepared().remove(&self.id.app);
        }
        looked
    }

    async fn compare(&mut self) -> Result<Next, EngineError> {
        let inner = Arc::clone(&self.inner);
        let Some(wish) = inner.wish(&self.id).await? else {
            inner.clear(&self.id).await?;
            return Ok(Next::Gone);
        };
        let Some(workload) = wish.wanted.clone() else {
            inner.clear(&self.id).await?;
            inner.tell_wanted(&self.id.app).await?;
            return Ok(Next::Rest);
        };
        let deployment = match self.make(&wish, &workload).await? {
            Made::Deployment(deployment) => deployment,
            Made::Refused(reason) => return self.give_up(&workload, &reason).await,
        };
        let pods = inner.replicas(&self.id).await?;
        let observed = observe(&deployment, pods);
        let spec = spec_hash(&workload);
        if is_whole(&spec, observed.wanted, &observed.pods) && observed.is_noticed {
            inner.delete_detached(&self.id, &observed.pods).await?;
        }
        if wish.is_settled {
            // Not before: whoever waits for the outcome has it by now.
            if self.under_way.is_some() {
                inner.sweep(&self.id).await?;
                self.under_way = None;
            }
            return Ok(Next::Rest);
        }
        self.carry_out(&workload, &spec, &observed).await
    }

    async fn carry_out(
        &mut self,
        workload: &Workload,
        spec: &str,
        observed: &Observed,
    ) -> Result<Next, EngineError> {
        let now = Instant::now();
        if self.under_way.as_ref().is_none_or(|(known, _)| known != workload) {
            let seen = Seen::new(now, self.inner.settings.waits_for_nodes);
            self.under_way = Some((workload.clone(), seen));
        }
        let Some((_, seen)) = &mut self.under_way else { return Ok(Next::Again) };
        seen.note(&observed.pods, now);
        match judge(workload, spec, observed, seen, now) {
            Verdict::Wait(wait) => Ok(Next::Within(wait)),
            Verdict::Done => {
                self.inner.change_known_wish(&self.id, settled(workload)).await?;
                Ok(Next::Again)
            }
            Verdict::Fails(failing) => {
                let reason = self.inner.explain(workload, &failing).await;
                self.give_up(workload, &reason).await
            }
        }
    }

    /// What served before is wanted again. Only the wish that failed is given up; one that came in between
    /// has a chance of its own.
    async fn give_up(&self, failed: &Workload, reason: &str) -> Result<Next, EngineError> {
        tracing::info!(workload = %failed.id, release = failed.release, "gave up a rollout");
        let give_up = |wish: &mut Wish| {
            if wish.wanted.as_ref() == Some(failed) && !wish.is_settled {
                wish.give_up(reason.to_owned());
            }
        };
        self.inner.change_known_wish(&self.id, give_up).await?;
        Ok(Next::Again)
    }

    /// Applies what the workload needs, unless it was applied before.
    async fn make(&self, wish: &Wish, workload: &Workload) -> Result<Made, EngineError> {
        let inner = &self.inner;
        if !wish.is_settled
            && let Some((name, value)) = inner.missing_tag(workload).await?
        {
            return Ok(Made::Refused(failure_text::no_node_with(&name, &value)));
        }
        inner.ensure_namespace(&self.id.app).await?;
        inner.tell_wanted(&self.id.app).await?;
        match inner.apply_workload(workload).await {
            Ok(deployment) => Ok(Made::Deployment(Box::new(deployment))),
            // Trying again will not help: the wish itself is not to be had.
            Err(EngineError::Refused { reason, .. }) if !wish.is_settled => Ok(Made::Refused(reason)),
            Err(error) => Err(error),
        }
    }
}

enum Made {
    Deployment(Box<Deployment>),
    Refused(String),
}

fn settled(workload: &Workload) -> impl Fn(&mut Wish) {
    move |wish| {
        if wish.wanted.as_ref() == Some(workload) && !wish.is_settled {
            wish.settle();
        }
    }
}

fn observe(deployment: &Deployment, pods: Vec<Replica>) -> Observed {
    let status = deployment.status.clone().unwrap_or_default();
    let count = |number: Option<i32>| usize::try_from(number.unwrap_or(0)).unwrap_or(0);
    let conditions = status.conditions.unwrap_or_default();
    let refusal = conditions.iter().find(|it| it.type_ == "ReplicaFailure" && it.status == "True");
    Observed {
        is_noticed: status.observed_generation >= deployment.metadata.generation,
        wanted: count(deployment.spec.as_ref().and_then(|spec| spec.replicas)),
        available: count(status.available_replicas),
        refusal: refusal.map(|it| it.message.clone().unwrap_or_default()),
        pods,
    }
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

    /// The Deployment comes last: it tells that all was applied.
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
        deleted.await.map_err(|error| failed(&format!("remove {id}"), error))
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
            // A newer one may belong to a wish whose pods are still to come.
            let is_old = used.iter().max().is_some_and(|newest| release < *newest);
            if is_old && !used.contains(&release) {
                let name = secret.metadata.name.unwrap_or_default();
                self.delete::<Secret>(&id.app, &name).await.map_err(|error| failed(&what, error))?;
            }
        }
        Ok(())
    }
}

/// Whether the Deployment is what is wanted, as far as the engine set it.
fn is_applied(found: &Deployment, wanted: &Deployment) -> bool {
    let applied = |it: &Deployment| {
        let annotations = it.metadata.annotations.as_ref();
        annotations.and_then(|all| all.get(names::APPLIED_ANNOTATION).cloned())
    };
    let replicas = |it: &Deployment| it.spec.as_ref().and_then(|spec| spec.replicas);
    applied(found) == applied(wanted) && replicas(found) == replicas(wanted)
}
