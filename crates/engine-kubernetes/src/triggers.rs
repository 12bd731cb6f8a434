//! Triggers of the tasks: watches of the apps' namespaces, which change with the desired state, of Deployments and
//! of pods. Only names and labels are read; each task reads the rest itself, so that a missed or repeated event
//! changes nothing.

use std::fmt::Debug;
use std::pin::pin;
use std::sync::Arc;

use domain::AppName;
use futures_util::StreamExt as _;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::Event;
use kube::{Api, Resource};
use serde::de::DeserializeOwned;

use super::{Inner, names, watching};
use engine::EngineError;
use engine::rollout::back_off;

/// Attempts to reconcile a namespace, a minute in all; after them the next event or the app's next deploy tries again.
const ATTEMPTS_MAX: usize = 10;

/// Begins the watches.
pub fn begin(inner: &Arc<Inner>) {
    let own = format!("{},{}", names::heritage(), names::TYPE_LABEL);
    inner.spawn(watch_namespaces(Arc::clone(inner)));
    inner.spawn(watch::<Deployment>(Arc::clone(inner), own.clone()));
    inner.spawn(watch::<Pod>(Arc::clone(inner), own));
}

/// Reconciles each namespace that is there at the start or changes.
async fn watch_namespaces(inner: Arc<Inner>) {
    let namespaces = Api::<PartialObjectMeta<Namespace>>::all(inner.client.clone());
    let mut events = pin!(watching::objects(namespaces, &names::heritage()));
    while let Some(event) = events.next().await {
        let (Event::Apply(namespace) | Event::InitApply(namespace)) = event else { continue };
        if namespace.metadata.deletion_timestamp.is_some() {
            continue;
        }
        if let Some(app) = inner.spaces.app_of(&namespace.metadata) {
            inner.spawn(start_tasks(Arc::clone(&inner), app));
        }
    }
}

/// Begins the tasks of an app's workloads, or wakes them. What the first pass over a namespace finds may be of an
/// earlier version or of other settings, and is brought up to date.
async fn start_tasks(inner: Arc<Inner>, app: AppName) {
    let mut back_off = back_off::RECONCILE;
    for _ in 0..ATTEMPTS_MAX {
        let Err(error) = inner.reconcile_namespace(&app).await else { return };
        tracing::warn!(%app, error = &error as &dyn std::error::Error, "cannot look for desired states; will try again");
        tokio::time::sleep(back_off.pause()).await;
    }
}

impl Inner {
    async fn reconcile_namespace(self: &Arc<Self>, app: &AppName) -> Result<(), EngineError> {
        let _permit = self.passes.acquire().await;
        let is_first = self.seen().insert(app.clone());
        if is_first && !self.prepared().contains(app) {
            self.spaces.refresh(app).await.inspect_err(|_| _ = self.seen().remove(app))?;
        }
        for (id, _) in self.desired_states_of(app).await? {
            self.wake(&id);
        }
        Ok(())
    }
}

/// Wakes the tasks that have to do with the objects.
async fn watch<K>(inner: Arc<Inner>, labels: String)
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + Debug
        + Send
        + 'static,
{
    let objects = Api::<PartialObjectMeta<K>>::all(inner.client.clone());
    let mut events = pin!(watching::objects(objects, &labels));
    while let Some(event) = events.next().await {
        let (Event::Apply(object) | Event::Delete(object) | Event::InitApply(object)) = event else {
            continue;
        };
        if let Some(id) = inner.workload_of(&object.metadata) {
            inner.tasks.wake_known(&id);
        }
    }
}
