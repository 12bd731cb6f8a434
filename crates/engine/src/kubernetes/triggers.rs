//! What wakes the tasks: watches of wishes, Deployments and pods. Only their names and labels are read; each
//! task looks for itself, so that an event that was missed or came twice changes nothing.

use std::fmt::Debug;
use std::pin::pin;
use std::sync::Arc;

use futures_util::StreamExt as _;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::Event;
use kube::{Api, Resource};
use serde::de::DeserializeOwned;

use super::{Inner, names, watching};

/// Begins the watches.
pub fn begin(inner: &Arc<Inner>) {
    let wishes = format!("{}={}", names::PART_LABEL, names::WISH_PART);
    let own = format!("{}={},{}", names::HERITAGE_LABEL, names::HERITAGE, names::TYPE_LABEL);
    inner.spawn(watch::<Secret>(Arc::clone(inner), wishes, true));
    inner.spawn(watch::<Deployment>(Arc::clone(inner), own.clone(), false));
    inner.spawn(watch::<Pod>(Arc::clone(inner), own, false));
}

/// Wakes the tasks that have to do with the objects; a wish also begins one.
async fn watch<K>(inner: Arc<Inner>, labels: String, is_wish: bool)
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
        match inner.workload_of(&object.metadata) {
            Some(id) if is_wish => drop(inner.wake(&id)),
            Some(id) => inner.tasks.wake_known(&id),
            None => {}
        }
    }
}
