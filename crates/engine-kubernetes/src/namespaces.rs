//! The namespace of an app: made before anything else of it, and the last thing of it to go.
//!
//! It belongs to this platform by its labels, and only then is it touched. Rights in it come with a RoleBinding
//! that is made in it first: nothing of the platform may read Secrets of other namespaces.

mod owned;
mod rights;

use std::sync::Arc;
use std::time::Duration;

use domain::AppName;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, Pod, ResourceQuota, Secret, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::{DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::runtime::wait::{await_condition, conditions};
use kube::{Api, Client};
use serde_json::json;
use tokio::time::timeout;

use super::failure::{code, failed, gone_is_fine, is_conflict, late};
use super::objects::{self, namespace, policy};
use super::{Inner, KubernetesSettings, apply, names, pull_secret};
use engine::EngineError;
pub(super) use owned::is_ours;

/// Bound of the removal of a namespace, besides the grace periods of what runs in it.
const REMOVAL_SECONDS: u64 = 120;

/// The namespace of an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppNamespace {
    pub app: AppName,
    pub namespace: String,
}

/// Lists the app namespaces of this platform that are not being deleted. Only the names of the platform matter in
/// the settings.
pub async fn app_namespaces(
    client: Client,
    settings: KubernetesSettings,
) -> Result<Vec<AppNamespace>, EngineError> {
    let spaces = Spaces::new(client, Arc::new(settings));
    let own = ListParams::default().labels(&names::heritage());
    let found = spaces.namespaces().list_metadata(&own).await;
    let found = found.map_err(|error| failed("list the apps' namespaces", error))?.items;
    let staying = found.iter().filter(|it| it.metadata.deletion_timestamp.is_none());
    let read = staying.filter_map(|it| {
        let (app, namespace) = (spaces.app_of(&it.metadata)?, it.metadata.name.clone()?);
        Some(AppNamespace { app, namespace })
    });
    Ok(read.collect())
}

/// Namespaces of apps; clones are handles to the same.
#[derive(Clone)]
pub struct Spaces {
    client: Client,
    settings: Arc<KubernetesSettings>,
}

impl Spaces {
    pub fn new(client: Client, settings: Arc<KubernetesSettings>) -> Self {
        Self { client, settings }
    }

    /// Makes the namespace with what belongs into each, or brings one of ours up to date.
    ///
    /// # Errors
    /// Refused where the namespace is someone else's, or Kubernetes does not take what is made in it.
    pub async fn make(&self, app: &AppName) -> Result<(), EngineError> {
        let what = format!("make the namespace of {app}");
        let owner = self.claim(app, &what).await?;
        self.furnish(app, owner.as_deref(), &what).await
    }

    /// Brings the namespace up to date; one that is not there, is going, or is someone else's is left alone.
    pub async fn refresh(&self, app: &AppName) -> Result<(), EngineError> {
        let what = format!("bring the namespace of {app} up to date");
        match self.found(app).await.map_err(|error| failed(&what, error))? {
            Some(found) if is_ours(&self.settings, app, &found) && !is_going(&found) => {
                self.label(app, &found, &what).await?;
                self.furnish(app, owned::owner(&found).as_deref(), &what).await
            }
            _ => Ok(()),
        }
    }

    /// Lets apps of this owner, and no longer those of another, reach the app.
    pub async fn give_to(&self, app: &AppName, owner: &str) -> Result<(), EngineError> {
        let what = format!("let apps of its owner reach {app}");
        let owner = namespace::owner_label(owner);
        let found = self.found(app).await.map_err(|error| failed(&what, error))?;
        if found.is_none_or(|found| owned::owner(&found).as_ref() == Some(&owner)) {
            return Ok(());
        }
        let change = json!({ "metadata": { "labels": { names::OWNER_LABEL: owner } } });
        let name = names::namespace(&self.settings, app);
        let labelled =
            self.namespaces().patch_metadata(&name, &PatchParams::default(), &Patch::Merge(&change)).await;
        labelled.map_err(|error| failed(&what, error))?;
        self.police(app, Some(&owner)).await.map_err(|error| failed(&what, error))
    }

    /// Reason why no app may have this name; `None` if the namespace is free or this platform's.
    pub async fn name_refusal(&self, app: &AppName) -> Result<Option<String>, EngineError> {
        let found = self.found(app).await.map_err(|error| failed("look for a namespace", error))?;
        let is_foreign = found.is_some_and(|found| !is_ours(&self.settings, app, &found));
        Ok(is_foreign.then(|| foreign(&names::namespace(&self.settings, app))))
    }

    /// Rights first: without them nothing else can be made. The pull secret next, so that it is old when the
    /// first pod needs it.
    async fn furnish(&self, app: &AppName, owner: Option<&str>, what: &str) -> Result<(), EngineError> {
        let refused = |reason| EngineError::Refused { what: what.to_owned(), reason };
        let space = names::namespace(&self.settings, app);
        let is_new = self.bind(&space).await.map_err(|error| failed(what, error))?;
        let secret = pull_secret::pull_secret(&self.settings.registry, app);
        let brought = rights::once_allowed(is_new, || apply::to::<Secret>(&self.client, &space, &secret));
        brought.await.map_err(|error| failed(what, error))?;
        if let Some(quota) = namespace::quota(&self.settings, app).map_err(refused)? {
            let brought = apply::to::<ResourceQuota>(&self.client, &space, &quota).await;
            brought.map_err(|error| failed(what, error))?;
        }
        self.police(app, owner).await.map_err(|error| failed(what, error))
    }

    async fn police(&self, app: &AppName, owner: Option<&str>) -> Result<(), kube::Error> {
        let space = names::namespace(&self.settings, app);
        if self.settings.network_policies {
            let policy = policy::policy(&self.settings, app, owner);
            return apply::to::<NetworkPolicy>(&self.client, &space, &policy).await.map(drop);
        }
        let policies = Api::<NetworkPolicy>::namespaced(self.client.clone(), &space);
        gone_is_fine(policies.delete(&policy::name(app), &DeleteParams::background()).await)
    }

    /// Creates the namespace and returns its owner label, if it has one. One that belongs to others is never
    /// touched.
    async fn claim(&self, app: &AppName, what: &str) -> Result<Option<String>, EngineError> {
        let name = names::namespace(&self.settings, app);
        let found = self.found(app).await.map_err(|error| failed(what, error))?;
        if let Some(found) = found {
            if !is_ours(&self.settings, app, &found) {
                return Err(EngineError::Refused { what: what.to_owned(), reason: foreign(&name) });
            }
            if !is_going(&found) {
                self.label(app, &found, what).await?;
                return Ok(owned::owner(&found));
            }
            self.until_gone(&found, what).await?;
        }
        // Created, not applied: one that someone else makes in this moment must not become ours.
        let wanted = objects::namespace::namespace(&self.settings, app);
        let params =
            PostParams { field_manager: Some(names::FIELD_MANAGER.to_owned()), ..PostParams::default() };
        let made = self.namespaces().create(&params, &wanted).await;
        match made {
            Err(error) if is_conflict(&error) => {
                let found = self.found(app).await.map_err(|error| failed(what, error))?;
                match found.filter(|found| is_ours(&self.settings, app, found)) {
                    Some(found) => Ok(owned::owner(&found)),
                    None => Err(EngineError::Refused { what: what.to_owned(), reason: foreign(&name) }),
                }
            }
            made => made.map(|_| None).map_err(|error| failed(what, error)),
        }
    }

    /// Labels of ours that an earlier version has not set.
    async fn label(&self, app: &AppName, found: &Namespace, what: &str) -> Result<(), EngineError> {
        let mut wanted = objects::namespace::namespace(&self.settings, app);
        // This very one: not another of the same name that has come since.
        wanted.metadata.uid = found.metadata.uid.clone();
        let name = names::namespace(&self.settings, app);
        let params = PatchParams::apply(names::FIELD_MANAGER).force();
        let labelled = self.namespaces().patch(&name, &params, &Patch::Apply(&wanted)).await;
        labelled.map(drop).map_err(|error| failed(what, error))
    }

    /// Notifies other processes of this platform that the desired state of the app changed, by an annotation of
    /// its namespace: they may not watch Secrets.
    pub async fn ring(&self, app: &AppName) -> Result<(), kube::Error> {
        let name = names::namespace(&self.settings, app);
        let change = format!("{:016x}", rand::random::<u64>());
        let change = json!({ "metadata": { "annotations": { names::DESIRED_STATE_ANNOTATION: change } } });
        let changed =
            self.namespaces().patch_metadata(&name, &PatchParams::default(), &Patch::Merge(&change)).await;
        changed.map(drop)
    }

    /// Returns true if an error only says that the app's namespace does not exist, or is about to go: without a
    /// RoleBinding in it Kubernetes answers that access is forbidden.
    pub async fn explains(&self, app: &AppName, error: &kube::Error) -> bool {
        match code(error) {
            Some(404) => true,
            Some(403) => self.found(app).await.is_ok_and(|found| found.is_none_or(|found| is_going(&found))),
            _ => false,
        }
    }

    /// Apps that have a namespace of this platform's.
    pub async fn apps(&self) -> Result<Vec<AppName>, kube::Error> {
        let own = ListParams::default().labels(&names::heritage());
        let found = self.namespaces().list_metadata(&own).await?.items;
        Ok(found.iter().filter_map(|it| self.app_of(&it.metadata)).collect())
    }

    /// The app whose namespace this is, if it is one of this platform's.
    pub fn app_of(&self, namespace: &ObjectMeta) -> Option<AppName> {
        owned::app(&self.settings, namespace)
    }

    async fn found(&self, app: &AppName) -> Result<Option<Namespace>, kube::Error> {
        self.namespaces().get_opt(&names::namespace(&self.settings, app)).await
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
        let pods = Api::<Pod>::namespaced(self.client.clone(), namespace);
        let found = pods.list(&ListParams::default()).await.map(|list| list.items).unwrap_or_default();
        let grace = found.iter().filter_map(|pod| pod.spec.as_ref()?.termination_grace_period_seconds);
        grace.max().unwrap_or(0).max(0).unsigned_abs()
    }

    fn namespaces(&self) -> Api<Namespace> {
        Api::all(self.client.clone())
    }
}

impl Inner {
    /// Makes the namespace with what belongs into each, unless this process has done so.
    pub(super) async fn ensure_namespace(&self, app: &AppName) -> Result<(), EngineError> {
        if self.prepared().contains(app) {
            return Ok(());
        }
        self.spaces.make(app).await?;
        self.prepared().insert(app.clone());
        Ok(())
    }

    /// Deletes the namespace with all that is in it and waits until it is gone.
    pub(super) async fn remove_namespace(&self, app: &AppName) -> Result<(), EngineError> {
        let what = format!("remove the namespace of {app}");
        let name = names::namespace(&self.settings, app);
        let found = self.spaces.found(app).await.map_err(|error| failed(&what, error))?;
        let Some(found) = found.filter(|found| is_ours(&self.settings, app, found)) else { return Ok(()) };
        self.prepared().remove(app);
        if !is_going(&found)
            && let Err(error) = self.empty(app).await
            && !self.spaces.explains(app, &error).await
        {
            return Err(failed(&what, error));
        }
        let deleted = self.spaces.namespaces().delete(&name, &DeleteParams::background()).await;
        gone_is_fine(deleted).map_err(|error| failed(&what, error))?;
        self.spaces.until_gone(&found, &what).await?;
        // A task that looked while it went may have thought it made.
        self.prepared().remove(app);
        Ok(())
    }

    /// Notes that a call may have failed because the namespace, which this process had made, is gone: then it is
    /// made again the next time.
    pub(super) fn namespace_may_have_gone<T>(&self, app: &AppName, done: &Result<T, EngineError>) -> bool {
        matches!(done, Err(EngineError::Refused { .. })) && self.prepared().remove(app)
    }

    /// The desired states first, so that nothing is made again; then the route and what runs, which takes longest.
    async fn empty(&self, app: &AppName) -> Result<(), kube::Error> {
        let (now, all) = (DeleteParams::background(), ListParams::default());
        let desired_states =
            all.clone().labels(&format!("{}={}", names::PART_LABEL, names::DESIRED_STATE_PART));
        gone_is_fine(self.api::<Secret>(app).delete_collection(&now, &desired_states).await)?;
        self.delete::<Service>(app, app.as_str()).await?;
        gone_is_fine(self.api::<Deployment>(app).delete_collection(&now, &all).await)
    }
}

fn is_going(namespace: &Namespace) -> bool {
    namespace.metadata.deletion_timestamp.is_some()
}

fn foreign(namespace: &str) -> String {
    format!("the namespace {namespace} is there and not the platform's; choose another name for the app")
}
