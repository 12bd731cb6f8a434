//! Desired states, kept in a Secret each: they hold the values of an app's environment.
//!
//! Every change is made to the version that was read. Where another process was faster it is made again to
//! what that one left, so that two controllers never overwrite each other's desired states.

use domain::AppName;
use domain::deployment::WorkloadId;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, ListParams, PostParams};

use super::failure::{failed, gone_is_fine, is_conflict};
use super::objects::metadata;
use super::{Inner, names};
use engine::EngineError;
use engine::rollout::desired_state::DesiredState;

/// Key in the Secret.
const SECRET_KEY: &str = "wish.json";
/// Apps whose desired states are listed at the same time.
const LISTINGS_MAX: usize = 16;
/// Retries of a change after conflicts.
const CHANGES_MAX: usize = 20;

impl Inner {
    pub(super) async fn desired_state(&self, id: &WorkloadId) -> Result<Option<DesiredState>, EngineError> {
        match self.api::<Secret>(&id.app).get_opt(&names::desired_state_secret(id)).await {
            Ok(found) => found.as_ref().map(read).transpose(),
            Err(error) if self.spaces.explains(&id.app, &error).await => Ok(None),
            Err(error) => Err(failed(&format!("read the desired state for {id}"), error)),
        }
    }

    /// Changes a desired state, which is made if there is none; gives what it is then.
    pub(super) async fn change_desired_state(
        &self,
        id: &WorkloadId,
        edit: impl Fn(&mut DesiredState),
    ) -> Result<DesiredState, EngineError> {
        let changed = self.change(id, |desired| {
            let mut desired = desired.unwrap_or_default();
            edit(&mut desired);
            Some(desired)
        });
        changed.await.map(Option::unwrap_or_default)
    }

    /// Changes a desired state that is there; one that was taken back stays so.
    pub(super) async fn change_known_desired_state(
        &self,
        id: &WorkloadId,
        edit: impl Fn(&mut DesiredState),
    ) -> Result<(), EngineError> {
        let edit = |desired: Option<DesiredState>| {
            let mut desired = desired?;
            edit(&mut desired);
            Some(desired)
        };
        self.change(id, edit).await.map(drop)
    }

    pub(super) async fn forget_desired_state(&self, id: &WorkloadId) -> Result<(), EngineError> {
        let secrets = self.api::<Secret>(&id.app);
        let deleted = secrets.delete(&names::desired_state_secret(id), &DeleteParams::background()).await;
        match gone_is_fine(deleted) {
            Err(error) if self.spaces.explains(&id.app, &error).await => Ok(()),
            done => done.map_err(|error| failed(&format!("take back the desired state for {id}"), error)),
        }
    }

    /// The desired states for all workloads of this platform.
    pub(super) async fn desired_states(&self) -> Result<Vec<(WorkloadId, DesiredState)>, EngineError> {
        let apps = self.spaces.apps().await.map_err(|error| failed("list the apps' namespaces", error))?;
        let desired_states = stream::iter(apps).map(|app| async move { self.desired_states_of(&app).await });
        let desired_states: Vec<_> = desired_states.buffered(LISTINGS_MAX).try_collect().await?;
        Ok(desired_states.into_iter().flatten().collect())
    }

    /// The desired states for the workloads of an app.
    pub(super) async fn desired_states_of(
        &self,
        app: &AppName,
    ) -> Result<Vec<(WorkloadId, DesiredState)>, EngineError> {
        let wanted =
            ListParams::default().labels(&format!("{}={}", names::PART_LABEL, names::DESIRED_STATE_PART));
        let found = match self.api::<Secret>(app).list(&wanted).await {
            Err(error) if self.spaces.explains(app, &error).await => return Ok(Vec::new()),
            found => found.map_err(|error| failed("list the desired states", error))?,
        };
        let own = found.items.iter().filter_map(|secret| Some((self.workload_of(&secret.metadata)?, secret)));
        own.map(|(id, secret)| Ok((id, read(secret)?))).collect()
    }

    async fn change(
        &self,
        id: &WorkloadId,
        edit: impl Fn(Option<DesiredState>) -> Option<DesiredState>,
    ) -> Result<Option<DesiredState>, EngineError> {
        let secrets = self.api::<Secret>(&id.app);
        let name = names::desired_state_secret(id);
        let what = format!("record the desired state for {id}");
        for _ in 0..CHANGES_MAX {
            let found = secrets.get_opt(&name).await.map_err(|error| failed(&what, error))?;
            let before = found.as_ref().map(read).transpose()?;
            let after = edit(before.clone());
            let Some(desired) = after.as_ref().filter(|_| after != before) else { return Ok(after) };
            let version = found.and_then(|found| found.metadata.resource_version);
            let secret = write(id, desired, version.clone());
            let written = match version {
                Some(_) => secrets.replace(&name, &PostParams::default(), &secret).await,
                None => secrets.create(&PostParams::default(), &secret).await,
            };
            match written {
                Ok(_) => return Ok(after),
                Err(error) if is_conflict(&error) => {}
                Err(error) => return Err(failed(&what, error)),
            }
        }
        Err(EngineError::Unreachable { what, source: "others change it all the time".into() })
    }
}

fn read(secret: &Secret) -> Result<DesiredState, EngineError> {
    let name = secret.metadata.name.as_deref().unwrap_or_default();
    let refused = |reason: String| EngineError::Refused { what: format!("read the Secret {name}"), reason };
    let json = secret.data.as_ref().and_then(|data| data.get(SECRET_KEY));
    let json =
        json.ok_or_else(|| refused(format!("it has no key {SECRET_KEY}; delete it and deploy again")))?;
    serde_json::from_slice(&json.0).map_err(|error| refused(format!("{error}; delete it and deploy again")))
}

fn write(id: &WorkloadId, desired: &DesiredState, version: Option<String>) -> Secret {
    let mut labels = names::workload_labels(id);
    labels.insert(names::PART_LABEL.to_owned(), names::DESIRED_STATE_PART.to_owned());
    let json = serde_json::to_vec(desired).expect("a workload has only text keys, so it is valid JSON");
    let mut metadata = metadata(&names::desired_state_secret(id), labels);
    metadata.resource_version = version;
    Secret {
        metadata,
        data: Some([(SECRET_KEY.to_owned(), ByteString(json))].into()),
        type_: Some("Opaque".to_owned()),
        ..Secret::default()
    }
}
