//! Server-side apply: says what the engine wants of an object and leaves alone what others added.

use std::fmt::Debug;

use domain::AppName;
use k8s_openapi::NamespaceResourceScope;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, Client, Error, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::failure::gone_is_fine;
use super::{Inner, names};

/// Applies an object in a namespace.
pub async fn to<K>(client: &Client, space: &str, object: &K) -> Result<K, Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + Serialize
        + DeserializeOwned,
{
    let name = object.meta().name.as_deref().unwrap_or_default();
    let params = PatchParams::apply(names::FIELD_MANAGER).force();
    Api::namespaced(client.clone(), space).patch(name, &params, &Patch::Apply(object)).await
}

impl Inner {
    /// The objects of a kind in the app's namespace.
    pub(super) fn api<K>(&self, app: &AppName) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), &names::namespace(&self.settings, app))
    }

    pub(super) async fn apply<K>(&self, app: &AppName, object: &K) -> Result<K, Error>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + Debug
            + Serialize
            + DeserializeOwned,
    {
        self.apply_as(names::FIELD_MANAGER, app, object).await
    }

    /// As [`Inner::apply`], as the owner of other fields.
    pub(super) async fn apply_as<K>(&self, manager: &str, app: &AppName, object: &K) -> Result<K, Error>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + Debug
            + Serialize
            + DeserializeOwned,
    {
        let name = object.meta().name.as_deref().unwrap_or_default();
        let params = PatchParams::apply(manager).force();
        self.api(app).patch(name, &params, &Patch::Apply(object)).await
    }

    /// Applies the object, or deletes the one of this name where there is to be none.
    pub(super) async fn apply_or_delete<K>(
        &self,
        app: &AppName,
        name: &str,
        object: Option<&K>,
    ) -> Result<(), Error>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + Debug
            + Serialize
            + DeserializeOwned,
    {
        match object {
            Some(object) => self.apply(app, object).await.map(drop),
            None => self.delete::<K>(app, name).await,
        }
    }

    /// Deletes an object; one that is not there is fine.
    pub(super) async fn delete<K>(&self, app: &AppName, name: &str) -> Result<(), Error>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
    {
        gone_is_fine(self.api::<K>(app).delete(name, &DeleteParams::background()).await)
    }
}
