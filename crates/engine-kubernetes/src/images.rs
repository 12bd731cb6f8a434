//! Images in a cluster: found in their registries, kept in the platform's own, removed from there.
//!
//! An image is pinned to the manifest of the cluster's platform, also where its reference names an index:
//! that is what is copied and what nodes pull. A kept image lies in its app's repository under the hex of its
//! digest, so that rollback never depends on where it came from.

mod credentials;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::image_reference::ImageReference;
use domain::registry_access::{app_repository, bundle_repository, cache_repository};
use domain::sbom::Inventory;
use domain::sbom::layers::inventory;
use domain::{AppName, Digest, Image};

use super::registry::ImageRegistrySettings;
use credentials::CredentialCache;
use engine::image_text::{parse, refused, shown};
use engine::origin::{Origins, image_config, image_error, image_manifest, too_long};
use engine::packages::{Scan, read_blocking, unreadable, within_time};
use engine::{EngineError, ImageError, Images, RegistryCredentials, ResolvedImage};
use oci::{Access, ImageConfig, Manifest, OciError, Repository, Transport, copy_image};

/// Until an image is found.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(90);
/// Until an image is copied.
const KEEP_TIMEOUT: Duration = Duration::from_secs(20 * 60);

/// Images of a cluster; clones are handles to the same.
#[derive(Clone)]
pub struct KubernetesImages {
    settings: Arc<ImageRegistrySettings>,
    transport: Transport,
    origins: Origins,
    /// Credentials that opened a resolved image, for the copy that follows.
    remembered: Arc<CredentialCache>,
}

impl KubernetesImages {
    pub fn new(settings: ImageRegistrySettings) -> Self {
        let origins = Origins::new(settings.outbound.clone());
        Self {
            settings: Arc::new(settings),
            transport: Transport::new(),
            origins,
            remembered: Arc::default(),
        }
    }

    /// Removes all that the registry holds of an app: images, build cache, pushed source.
    pub async fn remove_app(&self, app: &AppName) -> Result<(), EngineError> {
        for name in [app_repository(app), cache_repository(app), bundle_repository(app)] {
            let repository = self.settings.repository(&self.transport, &name, Access::Delete);
            remove_all(&repository).await.map_err(|error| engine_error("remove the app's images", error))?;
        }
        Ok(())
    }

    /// The repository that a reference names, accessed with these credentials.
    fn origin(&self, reference: &ImageReference, credentials: Option<&RegistryCredentials>) -> Repository {
        if let Some(own) = self.settings.own_repository(reference) {
            return self.settings.repository(&self.transport, own, Access::Pull);
        }
        self.origins.repository(reference, credentials, &self.settings.insecure_hosts)
    }

    async fn find(
        &self,
        reference: &ImageReference,
        credentials: Option<&RegistryCredentials>,
    ) -> Result<(Manifest, ImageConfig), OciError> {
        let origin = self.origin(reference, credentials);
        let version = reference.digest.as_ref().map(Digest::to_string).or(reference.tag.clone());
        let manifest = image_manifest(&origin, &version.unwrap_or_default()).await?;
        let config = image_config(&origin, &manifest).await?;
        Ok((manifest, config))
    }

    /// The repository where an app's images are kept.
    fn kept(&self, app: &AppName, access: Access) -> Repository {
        self.settings.repository(&self.transport, &app_repository(app), access)
    }

    /// Another app's image is not to be had, neither built nor by its name in the registry.
    fn check_owner(&self, app: &AppName, image: &Image) -> Result<(), ImageError> {
        let owner = match image {
            Image::Built { app: owner, .. } => Some(owner.to_string()),
            Image::External { reference, .. } => {
                let parsed = parse(reference)?;
                self.settings.own_repository(&parsed).map(|path| first_word(path).to_owned())
            }
        };
        if owner.is_none_or(|owner| owner == app.as_str()) {
            return Ok(());
        }
        Err(refused(&shown(image), "it belongs to another app"))
    }
}

#[async_trait]
impl Images for KubernetesImages {
    async fn resolve(
        &self,
        reference: &str,
        credentials: Option<&RegistryCredentials>,
    ) -> Result<ResolvedImage, ImageError> {
        let parsed = parse(reference)?;
        if parsed.is_part_of_platform() {
            return Err(refused(reference, "it is a part of the platform"));
        }
        let found = tokio::time::timeout(RESOLVE_TIMEOUT, self.find(&parsed, credentials)).await;
        let found = found.unwrap_or_else(|_| Err(too_long(&parsed.host)));
        let (manifest, config) = found.map_err(|error| sorted(&parsed, credentials.is_some(), error))?;
        let image = Image::External { reference: reference.to_owned(), digest: manifest.digest };
        self.remembered.remember(&image, credentials);
        Ok(ResolvedImage { image, ports: config.ports(), user: config.user() })
    }

    async fn keep(&self, app: &AppName, image: &Image) -> Result<(), ImageError> {
        self.check_owner(app, image)?;
        let Image::External { reference, digest } = image else {
            return self.check_built(app, image).await;
        };
        if !self.settings.keeps_copies {
            return Ok(());
        }
        let parsed = parse(reference)?;
        let credentials = self.remembered.of(image);
        let copied =
            tokio::time::timeout(KEEP_TIMEOUT, self.copy(app, &parsed, digest, credentials.as_ref()));
        let copied = copied.await.unwrap_or_else(|_| Err(too_long(&parsed.host)));
        copied.map_err(|error| sorted(&parsed, credentials.is_some(), error))
    }

    async fn remove(&self, app: &AppName, image: &Image) -> Result<(), ImageError> {
        let kept = self.kept(app, Access::Delete);
        let removed = kept.remove_manifest(image.digest().as_str()).await;
        removed.map_err(|error| engine_error("remove the image", error).into())
    }

    async fn stored(&self, apps: &[AppName]) -> Result<BTreeSet<(AppName, Digest)>, ImageError> {
        let mut stored = BTreeSet::new();
        for app in apps {
            let tags = self.kept(app, Access::Pull).tags().await;
            let tags = tags.map_err(|error| engine_error("list images", error))?;
            let digests = tags.iter().filter_map(|tag| Digest::parse(&format!("sha256:{tag}")).ok());
            stored.extend(digests.map(|digest| (app.clone(), digest)));
        }
        Ok(stored)
    }

    async fn packages(&self, app: &AppName, image: &Image) -> Result<Inventory, ImageError> {
        self.check_owner(app, image)?;
        let name = shown(image);
        within_time(&name, self.inventory(app, image, &name)).await
    }
}

impl KubernetesImages {
    /// Reads the layers one after another, from the copy of the platform or, where it keeps none, from the origin.
    async fn inventory(&self, app: &AppName, image: &Image, name: &str) -> Result<Inventory, ImageError> {
        let listed = |error| engine_error(&format!("list the packages of image {name}"), error);
        let (kept, digest) = (self.kept(app, Access::Pull), image.digest().as_str());
        let (from, manifest) = match (kept.find_manifest(digest).await.map_err(listed)?, image) {
            (Some(manifest), _) => (kept, manifest),
            (None, Image::External { reference, .. }) if !self.settings.keeps_copies => {
                let (parsed, credentials) = (parse(reference)?, self.remembered.of(image));
                let origin = self.origin(&parsed, credentials.as_ref());
                let found = origin.manifest(digest).await;
                let found = found.map_err(|error| sorted(&parsed, credentials.is_some(), error))?;
                (origin, found)
            }
            (None, _) => return Err(ImageError::NotFound { reference: name.to_owned() }),
        };
        let (mut scan, mut layers) = (Scan::default(), Vec::new());
        for layer in &manifest.content.layers {
            let content = from.blob_stream(layer).await.map_err(listed)?;
            let read = read_blocking(content, move |input| {
                let layer = scan.layer(input)?;
                Ok((scan, layer))
            });
            let (next, layer) = read.await.map_err(|error| unreadable(name, &error))?;
            scan = next;
            layers.push(layer);
        }
        Ok(inventory(&layers))
    }

    async fn check_built(&self, app: &AppName, image: &Image) -> Result<(), ImageError> {
        let kept = self.kept(app, Access::Pull).has_manifest(image.digest().as_str()).await;
        match kept.map_err(|error| engine_error("look for the image", error))? {
            true => Ok(()),
            false => Err(ImageError::NotFound { reference: shown(image) }),
        }
    }

    async fn copy(
        &self,
        app: &AppName,
        reference: &ImageReference,
        digest: &Digest,
        credentials: Option<&RegistryCredentials>,
    ) -> Result<(), OciError> {
        let origin = self.origin(reference, credentials);
        let kept = self.kept(app, Access::Push).mounting_from(&[origin.name()]);
        if kept.has_manifest(digest.hex()).await? {
            return Ok(());
        }
        let manifest = origin.manifest(digest.as_str()).await?;
        copy_image(&origin, &manifest, &kept, digest.hex()).await
    }
}

/// Removes every tag and its manifest.
async fn remove_all(repository: &Repository) -> Result<(), OciError> {
    for tag in repository.tags().await? {
        repository.remove_tagged(&tag).await?;
    }
    Ok(())
}

fn first_word(path: &str) -> &str {
    path.split('/').next().unwrap_or(path)
}

fn sorted(reference: &ImageReference, has_credentials: bool, error: OciError) -> ImageError {
    let other = |error| engine_error(&format!("use image {reference}"), error).into();
    image_error(reference, has_credentials, error, other)
}

/// Sorts an error of a registry while it did `what`.
pub(super) fn engine_error(what: &str, error: OciError) -> EngineError {
    match error {
        OciError::Unreachable { host, source } => {
            EngineError::Unreachable { what: format!("{what}: no answer from registry {host}"), source }
        }
        other => EngineError::Refused { what: what.to_owned(), reason: other.to_string() },
    }
}
