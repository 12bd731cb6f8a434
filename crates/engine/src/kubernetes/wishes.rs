//! Wishes, kept in a Secret each: they hold the values of an app's environment.
//!
//! Every change is made to the version that was read. Where another process was faster it is made again to
//! what that one left, so that two controllers never overwrite each other's wishes.

use domain::deployment::WorkloadId;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{DeleteParams, ListParams, PostParams};

use super::failure::{failed, gone_is_fine, is_conflict};
use super::objects::metadata;
use super::{Inner, names};
use crate::EngineError;
use crate::wish::Wish;

/// Key in the Secret.
const WISH: &str = "wish.json";
/// How often a change is made again because others were faster.
const CHANGES_MAX: usize = 20;

impl Inner {
    pub(super) async fn wish(&self, id: &WorkloadId) -> Result<Option<Wish>, EngineError> {
        let found = self.api::<Secret>(&id.app).get_opt(&names::wish_secret(id)).await;
        let found = found.map_err(|error| failed(&format!("read the wish for {id}"), error))?;
        found.as_ref().map(read).transpose()
    }

    /// Changes a wish, which is made if there is none; gives what it is then.
    pub(super) async fn change_wish(
        &self,
        id: &WorkloadId,
        edit: impl Fn(&mut Wish),
    ) -> Result<Wish, EngineError> {
        let changed = self.change(id, |wish| {
            let mut wish = wish.unwrap_or_default();
            edit(&mut wish);
            Some(wish)
        });
        changed.await.map(Option::unwrap_or_default)
    }

    /// Changes a wish that is there; one that was taken back stays so.
    pub(super) async fn change_known_wish(
        &self,
        id: &WorkloadId,
        edit: impl Fn(&mut Wish),
    ) -> Result<(), EngineError> {
        let edit = |wish: Option<Wish>| {
            let mut wish = wish?;
            edit(&mut wish);
            Some(wish)
        };
        self.change(id, edit).await.map(drop)
    }

    pub(super) async fn forget_wish(&self, id: &WorkloadId) -> Result<(), EngineError> {
        let secrets = self.api::<Secret>(&id.app);
        let deleted = secrets.delete(&names::wish_secret(id), &DeleteParams::background()).await;
        gone_is_fine(deleted).map_err(|error| failed(&format!("take back the wish for {id}"), error))
    }

    /// The wishes for all workloads of this platform, those of one app alone where it is named.
    pub(super) async fn wishes(&self) -> Result<Vec<(WorkloadId, Wish)>, EngineError> {
        let wanted = format!("{}={}", names::PART_LABEL, names::WISH_PART);
        let found =
            Api::<Secret>::all(self.client.clone()).list(&ListParams::default().labels(&wanted)).await;
        let found = found.map_err(|error| failed("list the wishes", error))?;
        let own = found.items.iter().filter_map(|secret| Some((self.workload_of(&secret.metadata)?, secret)));
        own.map(|(id, secret)| Ok((id, read(secret)?))).collect()
    }

    async fn change(
        &self,
        id: &WorkloadId,
        edit: impl Fn(Option<Wish>) -> Option<Wish>,
    ) -> Result<Option<Wish>, EngineError> {
        let secrets = self.api::<Secret>(&id.app);
        let name = names::wish_secret(id);
        let what = format!("record the wish for {id}");
        for _ in 0..CHANGES_MAX {
            let found = secrets.get_opt(&name).await.map_err(|error| failed(&what, error))?;
            let before = found.as_ref().map(read).transpose()?;
            let after = edit(before.clone());
            let Some(wish) = after.as_ref().filter(|_| after != before) else { return Ok(after) };
            let version = found.and_then(|found| found.metadata.resource_version);
            let secret = write(id, wish, version.clone());
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

fn read(secret: &Secret) -> Result<Wish, EngineError> {
    let name = secret.metadata.name.as_deref().unwrap_or_default();
    let refused = |reason: String| EngineError::Refused { what: format!("read the Secret {name}"), reason };
    let json = secret.data.as_ref().and_then(|data| data.get(WISH));
    let json = json.ok_or_else(|| refused(format!("it has no key {WISH}; delete it and deploy again")))?;
    serde_json::from_slice(&json.0).map_err(|error| refused(format!("{error}; delete it and deploy again")))
}

fn write(id: &WorkloadId, wish: &Wish, version: Option<String>) -> Secret {
    let mut labels = names::workload_labels(id);
    labels.insert(names::PART_LABEL.to_owned(), names::WISH_PART.to_owned());
    let json = serde_json::to_vec(wish).expect("a workload has only text keys, so it is valid JSON");
    let mut metadata = metadata(&names::wish_secret(id), labels);
    metadata.resource_version = version;
    Secret {
        metadata,
        data: Some([(WISH.to_owned(), ByteString(json))].into()),
        type_: Some("Opaque".to_owned()),
        ..Secret::default()
    }
}
