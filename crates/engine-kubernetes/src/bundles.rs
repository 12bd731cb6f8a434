//! Copies of pushed source in the registry: one artifact for each app, replaced at each push. Builders keep
//! repositories on their disk only as a cache.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use domain::AppName;
use domain::registry_access::bundle_repository;

use super::ImageRegistrySettings;
use super::images::engine_error;
use engine::{Bundles, EngineError};
use oci::{Access, FileArtifact, OciError, Repository, Transport, media_type};

const TAG: &str = "latest";
const ARTIFACT_TYPE: &str = "application/vnd.deis.git-bundle.v1";
/// Annotation of the bundle: which app of this name it belongs to.
const APP_ID: &str = "io.deis.app-id";
/// Until a bundle has gone or come.
const TRANSFER_TIMEOUT: Duration = Duration::from_secs(20 * 60);

/// Copies of source in a registry; clones are handles to the same.
#[derive(Debug, Clone)]
pub struct KubernetesBundles {
    registry: ImageRegistrySettings,
    transport: Transport,
}

impl KubernetesBundles {
    pub fn new(registry: ImageRegistrySettings) -> Self {
        Self { registry, transport: Transport::new() }
    }

    fn repository(&self, app: &AppName, access: Access) -> Repository {
        self.registry.repository(&self.transport, &bundle_repository(app), access)
    }
}

#[async_trait]
impl Bundles for KubernetesBundles {
    async fn store(&self, app: &AppName, id: &str, bundle: &Path) -> Result<(), EngineError> {
        let what = format!("keep a copy of the source of {app}");
        let (push, delete) = (self.repository(app, Access::Push), self.repository(app, Access::Delete));
        within(store(&push, &delete, id, bundle)).await.map_err(|error| engine_error(&what, error))
    }

    async fn fetch(&self, app: &AppName, id: &str, to: &Path) -> Result<bool, EngineError> {
        let what = format!("get the copy of the source of {app}");
        let repository = self.repository(app, Access::Pull);
        within(fetch(&repository, id, to)).await.map_err(|error| engine_error(&what, error))
    }
}

async fn within<T>(transfer: impl Future<Output = Result<T, OciError>>) -> Result<T, OciError> {
    let source =
        |error: std::io::Error| OciError::Source { what: "transfer a bundle".to_owned(), source: error };
    tokio::time::timeout(TRANSFER_TIMEOUT, transfer)
        .await
        .unwrap_or_else(|_| Err(source(std::io::ErrorKind::TimedOut.into())))
}

async fn store(push: &Repository, delete: &Repository, id: &str, bundle: &Path) -> Result<(), OciError> {
    let annotations = BTreeMap::from([(APP_ID.to_owned(), id.to_owned())]);
    let artifact = FileArtifact { artifact_type: ARTIFACT_TYPE, file_type: ARTIFACT_TYPE, annotations };
    let manifest = artifact.push_file(push, bundle).await?;
    let new = domain::Digest::of(&manifest);
    let old = push.find_manifest(TAG).await?.map(|old| old.digest).filter(|old| *old != new);
    push.put_manifest(TAG, media_type::MANIFEST, manifest).await?;
    match old {
        // So that the registry can give its space back.
        Some(old) => delete.remove_manifest(old.as_str()).await,
        None => Ok(()),
    }
}

async fn fetch(repository: &Repository, id: &str, to: &Path) -> Result<bool, OciError> {
    let Some(manifest) = repository.find_manifest(TAG).await? else { return Ok(false) };
    let layer = manifest.content.layers.first();
    let Some(layer) = layer.filter(|it| it.annotations.get(APP_ID).is_some_and(|owner| owner == id)) else {
        return Ok(false);
    };
    repository.fetch_blob(layer, to).await?;
    Ok(true)
}
