//! Removes what a job made, also when its future is dropped in the middle.

use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use kube::api::DeleteParams;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

use crate::failure::gone_is_fine;

/// An object that is deleted when this goes out of scope, whatever the reason; Kubernetes deletes what
/// belongs to it.
pub struct DeleteGuard<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + 'static,
{
    api: Api<K>,
    name: String,
    is_removed: bool,
}

impl<K> DeleteGuard<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + 'static,
{
    /// Guards an object by its name, best before it exists: the future may be dropped while it is made.
    pub fn new(client: &Client, namespace: &str, name: &str) -> Self {
        let api = Api::namespaced(client.clone(), namespace);
        Self { api, name: name.to_owned(), is_removed: false }
    }

    pub async fn remove(mut self) {
        self.is_removed = true;
        remove(&self.api, &self.name).await;
    }
}

impl<K> Drop for DeleteGuard<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + 'static,
{
    fn drop(&mut self) {
        if self.is_removed {
            return;
        }
        let (api, name) = (self.api.clone(), self.name.clone());
        // Without a runtime the process is ending; the next one removes orphans when it starts.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move { remove(&api, &name).await });
    }
}

async fn remove<K>(api: &Api<K>, name: &str)
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let params = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::background() };
    if let Err(error) = gone_is_fine(api.delete(name, &params).await) {
        // Deadline and time to live see to it later.
        tracing::warn!(job = name, %error, "cannot remove a job");
    }
}
