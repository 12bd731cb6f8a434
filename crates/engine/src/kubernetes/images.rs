//! Images in a cluster: found in their registries, kept in the platform's own, removed from there.
//!
//! An image is pinned to the manifest of the cluster's platform, also where its reference names an index:
//! that is what is copied and what nodes pull. A kept image lies in its app's repository under the hex of its
//! digest, so that rollback never depends on where it came from.

mod credentials;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::image_reference::ImageReference;
use domain::registry_access::{app_repository, bundle_repository, cache_repository};
use domain::{AppName, Digest, Image};

use super::registry::RegistrySettings;
use crate::image_text::{parse, refused, shown};
use crate::oci::{
    Access, DOCUMENT_BYTES_MAX, ImageConfig, Login, Manifest, OciError, Repository, Transport, architecture,
    copy_image, is_index,
};
use crate::{EngineError, ImageError, Images, RegistryCredentials, ResolvedImage};
use credentials::Remembered;

/// Until an image is found.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(90);
/// Until an image is copied.
const KEEP_TIMEOUT: Duration = Duration::from_secs(20 * 60);

/// Images of a cluster; clones are handles to the same.
#[derive(Clone)]
pub struct KubernetesImages {
    settings: Arc<RegistrySettings>,
    transport: Transport,
    /// What opened an image that was resolved, for the copy that follows.
    remembered: Arc<Remembered>,
}

impl KubernetesImages {
    pub fn new(settings: RegistrySettings) -> Self {
        Self { settings: Arc::new(settings), transport: Transport::new(), remembered: Arc::default() }
    }

    /// Removes all that the registry holds of an app: images, build cache, pushed source.
    pub async fn remove_app(&self, app: &AppName) -> Result<(), EngineError> {
        for name in [app_repository(app), cache_repository(app), bundle_repository(app)] {
            let repository = self.settings.repository(&self.transport, &name, Access::Delete);
            remove_all(&repository).await.map_err(|error| engine_error("remove the app's images", error))?;
        }
        Ok(())
    }

    /// The repository that a reference names, as whoever has these credentials reaches it.
    fn origin(&self, reference: &ImageReference, credentials: Option<&RegistryCredentials>) -> Repository {
        if let Some(own) = self.settings.own_repository(reference) {
            return self.settings.repository(&self.transport, own, Access::Pull);
        }
        let login = credentials
            .filter(|it| is_for(it, &reference.host))
            .map(|it| Login { username: it.username.clone(), password: it.password.clone() });
        let is_official = reference.host == "docker.io" && !reference.path.contains('/');
        let path = if is_official { format!("library/{}", reference.path) } else { reference.path.clone() };
        Repository::new(&self.transport, &self.settings.base_of(&reference.host), &path, login, Access::Pull)
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
        let (manifest, config) = found.map_err(|error| image_error(&parsed, credentials.is_some(), error))?;
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
        copied.map_err(|error| image_error(&parsed, credentials.is_some(), error))
    }

    async fn remove(&self, app: &AppName, image: &Image) -> Result<(), ImageError> {
        let kept = self.kept(app, Access::Delete);
        let removed = kept.remove_manifest(image.digest().as_str()).await;
        removed.map_err(|error| engine_error("remove the image", error).into())
    }
}

impl KubernetesImages {
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

/// The manifest of an image; of an index, that of this platform.
pub(super) async fn image_manifest(repository: &Repository, version: &str) -> Result<Manifest, OciError> {
    let manifest = repository.manifest(version).await?;
    if !is_index(&manifest) {
        return Ok(manifest);
    }
    let chosen = manifest
        .for_platform(architecture())
        .map_err(|reason| OciError::Malformed { what: format!("image {}", repository.name()), reason })?;
    repository.manifest(chosen.digest.as_str()).await
}

async fn image_config(repository: &Repository, manifest: &Manifest) -> Result<ImageConfig, OciError> {
    let malformed =
        |reason: String| OciError::Malformed { what: format!("image {}", repository.name()), reason };
    let config = manifest
        .content
        .config
        .as_ref()
        .ok_or_else(|| malformed("its manifest names no config".to_owned()))?;
    let bytes = repository.blob(&config.digest, DOCUMENT_BYTES_MAX).await?;
    ImageConfig::parse(&bytes).map_err(malformed)
}

/// Removes every tag and what it names.
async fn remove_all(repository: &Repository) -> Result<(), OciError> {
    for tag in repository.tags().await? {
        match repository.manifest(&tag).await {
            Ok(manifest) => repository.remove_manifest(manifest.digest.as_str()).await?,
            Err(OciError::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Credentials go to the registry that they were given for and to no other.
fn is_for(credentials: &RegistryCredentials, host: &str) -> bool {
    let Some(named) = credentials.hostname.as_deref().filter(|named| !named.is_empty()) else { return true };
    let named = named.split("//").last().unwrap_or(named).split('/').next().unwrap_or(named);
    let hub = ["docker.io", "index.docker.io", "registry-1.docker.io", "hub.docker.com"];
    named == host || (host == "docker.io" && hub.contains(&named))
}

fn first_word(path: &str) -> &str {
    path.split('/').next().unwrap_or(path)
}

fn too_long(host: &str) -> OciError {
    OciError::Unreachable { host: host.to_owned(), source: "it took too long".into() }
}

/// Sorts what a registry said. Registries answer alike for what is missing and what is forbidden, so for
/// one without credentials Docker Hub's "denied" means missing.
fn image_error(reference: &ImageReference, has_credentials: bool, error: OciError) -> ImageError {
    let named = || reference.to_string();
    match error {
        OciError::NotFound { .. } => ImageError::NotFound { reference: named() },
        OciError::Denied { .. } if reference.host == "docker.io" && !has_credentials => {
            ImageError::NotFound { reference: named() }
        }
        OciError::Denied { .. } => ImageError::Denied { reference: named() },
        error => engine_error(&format!("use image {reference}"), error).into(),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_go_to_the_registry_that_they_name() {
        let to = |hostname: Option<&str>, host: &str| {
            let hostname = hostname.map(str::to_owned);
            let (username, password) = (String::new(), String::new());
            is_for(&RegistryCredentials { username, password, hostname }, host)
        };
        assert!(to(None, "ghcr.io") && to(Some(""), "ghcr.io") && to(Some("ghcr.io"), "ghcr.io"));
        assert!(to(Some("https://index.docker.io/v1/"), "docker.io"));
        assert!(!to(Some("ghcr.io"), "quay.io") && !to(Some("docker.io"), "ghcr.io"));
    }

    #[test]
    fn on_docker_hub_what_a_stranger_may_not_see_is_missing() {
        let error = |reference: &str, has_credentials: bool| {
            let reference = ImageReference::parse(reference).expect("a reference");
            image_error(&reference, has_credentials, OciError::Denied { what: String::new() }).to_string()
        };
        assert_eq!(error("deis/nothing", false), "image deis/nothing:latest not found");
        let denied = "Permission Denied attempting to pull image ";
        assert_eq!(error("deis/nothing", true), format!("{denied}deis/nothing:latest"));
        assert_eq!(error("ghcr.io/a/b:c", false), format!("{denied}ghcr.io/a/b:c"));
    }
}
