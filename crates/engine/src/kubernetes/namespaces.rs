//! The namespace of an app: made before anything else of it, and the last thing of it to go.

use std::time::Duration;

use domain::AppName;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, ResourceQuota, Secret, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::runtime::wait::{await_condition, conditions};
use tokio::time::timeout;

use super::failure::{failed, gone_is_fine, late};
use super::objects::{self, namespace, policy};
use super::{Inner, names, pull_secret};
use crate::EngineError;

/// Bound of the removal of a namespace, besides the grace periods of what runs in it.
const REMOVAL_SECONDS: u64 = 120;

impl Inner {
    /// Makes the namespace with what belongs into each, unless this process has done so.
    pub(super) async fn ensure_namespace(&self, app: &AppName) -> Result<(), EngineError> {
        if self.prepared().contains(app) {
            return Ok(());
        }
        let what = format!("make the namespace of {app}");
        self.claim(app, &what).await?;
        let refused = |reason| EngineError::Refused { what: what.clone(), reason };
        let quota = namespace::quota(&self.settings, app).map_err(refused)?;
        if let Some(quota) = quota {
            self.apply::<ResourceQuota>(app, &quota).await.map_err(|error| failed(&what, error))?;
        }
        let policy = self.settings.network_policies.then(|| policy::policy(&self.settings, app));
        let policy_name = policy::name(app);
        let policed = self.apply_or_delete::<NetworkPolicy>(app, &policy_name, policy.as_ref()).await;
        policed.map_err(|error| failed(&what, error))?;
        let secret = pull_secret::pull_secret(&self.settings.registry, app);
        self.apply::<Secret>(app, &secret).await.map_err(|error| failed(&what, error))?;
        self.prepared().insert(app.clone());
        Ok(())
    }

    /// A namespace of this name that is someone else's is never touched.
    async fn claim(&self, app: &AppName, what: &str) -> Result<(), EngineError> {
        let name = names::namespace(&self.settings, app);
        let found = self.namespaces().get_opt(&name).await.map_err(|error| failed(what, error))?;
        if let Some(found) = found {
            if !is_ours(&found) {
                let reason = format!(
                    "the namespace {name} is there and not the platform's; choose another name for the app"
                );
                return Err(EngineError::Refused { what: what.to_owned(), reason });
            }
            if found.metadata.deletion_timestamp.is_some() {
                self.until_gone(&found, what).await?;
            }
        }
        let params = PatchParams::apply(names::FIELD_MANAGER).force();
        let wanted = objects::namespace::namespace(&self.settings, app);
        let made = self.namespaces().patch(&name, &params, &Patch::Apply(&wanted)).await;
        made.map(drop).map_err(|error| failed(what, error))
    }

    /// Deletes the namespace with all that is in it and waits until it is gone.
    pub(super) async fn remove_namespace(&self, app: &AppName) -> Result<(), EngineError> {
        let what = format!("remove the namespace of {app}");
        let name = names::namespace(&self.settings, app);
        let found = self.namespaces().get_opt(&name).await.map_err(|error| failed(&what, error))?;
        let Some(found) = found.filter(is_ours) else { return Ok(()) };
        self.prepared().remove(app);
        self.empty(app).await.map_err(|error| failed(&what, error))?;
        let deleted = self.namespaces().delete(&name, &DeleteParams::background()).await;
        gone_is_fine(deleted).map_err(|error| failed(&what, error))?;
        self.until_gone(&found, &what).await?;
        // A task that looked while it went may have thought it made.
        self.prepared().remove(app);
        Ok(())
    }

    /// Whether something may have failed because the namespace, which this process had made, has gone since:
    /// then it is made anew the next time.
    pub(super) fn namespace_may_have_gone<T>(&self, app: &AppName, done: &Result<T, EngineError>) -> bool {
        matches!(done, Err(EngineError::Refused { .. })) && self.prepared().remove(app)
    }

    /// The wishes first, so that nothing is made again; then the route and what runs, which takes longest.
    async fn empty(&self, app: &AppName) -> Result<(), kube::Error> {
        let (now, all) = (DeleteParams::background(), ListParams::default());
        let wishes = all.clone().labels(&format!("{}={}", names::PART_LABEL, names::WISH_PART));
        gone_is_fine(self.api::<Secret>(app).delete_collection(&now, &wishes).await)?;
        self.delete::<Service>(app, app.as_str()).await?;
        gone_is_fine(self.api::<Deployment>(app).delete_collection(&now, &all).await)
    }

    async fn until_gone(&self, namespace: &Namespace, what: &str) -> Result<(), EngineError> {
        let (name, uid) = (namespace.metadata.name.clone(), namespace.metadata.uid.clone());
        let (name, uid) = (name.unwrap_or_default(), uid.unwrap_or_default());
        let seconds = REMOVAL_SECONDS + self.grace_seconds_max(&name).await;
        let gone = await_condition(self.namespaces(), &name, conditions::is_deleted(&uid));
        match timeout(Duration::from_secs(seconds), gone).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => {
                Err(EngineError::Unreachable { what: what.to_owned(), source: Box::new(error) })
            }
            Err(_) => Err(late(&format!("{what} (see `kubectl describe namespace {name}`)"), seconds)),
        }
    }

    /// Longest time that a pod there may take to end.
    async fn grace_seconds_max(&self, namespace: &str) -> u64 {
        let pods = Api::<k8s_openapi::api::core::v1::Pod>::namespaced(self.client.clone(), namespace);
        let found = pods.list(&ListParams::default()).await.map(|list| list.items).unwrap_or_default();
        let grace = found.iter().filter_map(|pod| pod.spec.as_ref()?.termination_grace_period_seconds);
        grace.max().unwrap_or(0).max(0).unsigned_abs()
    }

    fn namespaces(&self) -> Api<Namespace> {
        Api::all(self.client.clone())
    }
}

fn is_ours(namespace: &Namespace) -> bool {
    let labels = namespace.metadata.labels.as_ref();
    labels.and_then(|labels| labels.get(names::HERITAGE_LABEL)).is_some_and(|value| value == names::HERITAGE)
}
