//! Images on Docker: found, kept and removed.
//!
//! Every image that a release runs has a name of the platform's, `deis-<instance>/<app>:<hex of its
//! digest>`, so that it stays until the release is gone, whatever becomes of the name it came by. Names
//! that users gave are never taken away; what the platform pulled goes when the last name of its own goes.

mod packages;
mod pull;

use std::collections::{BTreeSet, HashMap};

use async_trait::async_trait;
use bollard::Docker;
use bollard::errors::Error;
use bollard::models::ImageInspect;
use bollard::query_parameters::ListImagesOptionsBuilder;
use domain::image_reference::{ImageReference, kept_name};
use domain::sbom::Inventory;
use domain::{AppName, Digest, Image};

use super::DockerEngine;
use super::jobs::{DockerHost, engine_error, remove_image, status, tag, with_timeout};
use engine::image_text::{parse, refused, shown};
use engine::packages::TIMEOUT_SECONDS;
use engine::{EngineError, ImageError, Images, RegistryCredentials, ResolvedImage};

#[async_trait]
impl Images for DockerEngine {
    async fn resolve(
        &self,
        reference: &str,
        credentials: Option<&RegistryCredentials>,
    ) -> Result<ResolvedImage, ImageError> {
        let parsed = parse(reference)?;
        if parsed.is_part_of_platform() {
            return Err(refused(reference, "it is a part of the platform"));
        }
        let place = DockerHost { docker: self.docker(), settings: self.settings() };
        let (digest, found) = match inspect(place.docker, &parsed.pinned_name()).await? {
            Some(found) => (digest_of(&parsed, &found)?, found),
            None => pull::pull(&place, self.origins(), &parsed, credentials).await?,
        };
        let (ports, user) = ports_and_user(&found);
        Ok(ResolvedImage { image: Image::External { reference: reference.to_owned(), digest }, ports, user })
    }

    async fn keep(&self, app: &AppName, image: &Image) -> Result<(), ImageError> {
        let place = DockerHost { docker: self.docker(), settings: self.settings() };
        check_owner(&place, app, image)?;
        let name = kept_name(&place.namespace(), app, image);
        if inspect(place.docker, &name).await?.is_some() {
            return Ok(());
        }
        let id = find(&place, image).await?;
        tag(place.docker, &id, &name).await.map_err(|error| engine_error("keep the image", error))?;
        pull::forget(&place, image.digest()).await;
        Ok(())
    }

    async fn remove(&self, app: &AppName, image: &Image) -> Result<(), ImageError> {
        let place = DockerHost { docker: self.docker(), settings: self.settings() };
        let name = kept_name(&place.namespace(), app, image);
        remove_image(place.docker, &name)
            .await
            .map_err(|error| engine_error("remove the image", error).into())
    }

    async fn stored(&self, _: &[AppName]) -> Result<BTreeSet<(AppName, Digest)>, ImageError> {
        let place = DockerHost { docker: self.docker(), settings: self.settings() };
        let prefix = format!("{}/", place.namespace());
        let filters = HashMap::from([("reference", vec![format!("{prefix}*")])]);
        let options = ListImagesOptionsBuilder::default().filters(&filters).build();
        let images = place.docker.list_images(Some(options)).await;
        let images = images.map_err(|error| engine_error("list images", error))?;
        let names = images.iter().flat_map(|image| &image.repo_tags);
        Ok(names.filter_map(|name| kept(name.strip_prefix(&prefix)?)).collect())
    }

    async fn packages(&self, app: &AppName, image: &Image) -> Result<Inventory, ImageError> {
        let place = DockerHost { docker: self.docker(), settings: self.settings() };
        check_owner(&place, app, image)?;
        let kept = kept_name(&place.namespace(), app, image);
        let name = match inspect(place.docker, &kept).await? {
            Some(_) => kept,
            None => find(&place, image).await?,
        };
        let docker = with_timeout(place.docker, TIMEOUT_SECONDS);
        packages::list(&docker, &name, &shown(image)).await
    }
}

/// Reads the end of a [`kept_name`], `<app>:<hex of the digest>`; other names of the platform's are none.
fn kept(name: &str) -> Option<(AppName, Digest)> {
    let (app, hex) = name.rsplit_once(':')?;
    Some((AppName::parse(app).ok()?, Digest::parse(&format!("sha256:{hex}")).ok()?))
}

impl DockerEngine {
    /// Finds or pulls an image that builds of the app may use; gives Docker's id of it too.
    pub(super) async fn usable(&self, app: &AppName, name: &str) -> Result<(Image, String), ImageError> {
        let place = DockerHost { docker: self.docker(), settings: self.settings() };
        let image = self.resolve(name, None).await?.image;
        check_owner(&place, app, &image)?;
        let id = find(&place, &image).await?;
        Ok((image, id))
    }

    /// Removes images that an earlier process pulled but kept for no app.
    pub(super) async fn remove_orphaned_images(&self) -> Result<(), Error> {
        pull::remove_orphans(&DockerHost { docker: self.docker(), settings: self.settings() }).await
    }
}

/// Docker's image of a name; `None` if there is none.
async fn inspect(docker: &Docker, name: &str) -> Result<Option<ImageInspect>, EngineError> {
    match docker.inspect_image(name).await {
        Ok(found) => Ok(Some(found)),
        Err(error) if status(&error) == Some(404) => Ok(None),
        Err(error) => Err(engine_error("look for the image", error)),
    }
}

/// The registry's digest where it is known, as after a pull; else the id that Docker gave the image.
fn digest_of(reference: &ImageReference, found: &ImageInspect) -> Result<Digest, EngineError> {
    if let Some(digest) = &reference.digest {
        return Ok(digest.clone());
    }
    let prefix = format!("{}@", reference.repository());
    let known = found.repo_digests.iter().flatten().find_map(|digest| digest.strip_prefix(&prefix));
    let text = known.or(found.id.as_deref()).unwrap_or_default();
    Digest::parse(text).map_err(|error| EngineError::Refused {
        what: format!("pin image {reference}"),
        reason: error.to_string(),
    })
}

/// Exposed TCP ports, ascending, and the user of an image.
pub(super) fn ports_and_user(image: &ImageInspect) -> (Vec<u16>, String) {
    let Some(config) = &image.config else { return (Vec::new(), String::new()) };
    let tcp = |port: &String| port.strip_suffix("/tcp").unwrap_or(port).parse().ok();
    let mut ports: Vec<u16> = config.exposed_ports.iter().flatten().filter_map(tcp).collect();
    ports.sort_unstable();
    (ports, config.user.clone().unwrap_or_default())
}

/// Another app's image is not to be had, neither built nor by its name in Docker.
fn check_owner(place: &DockerHost<'_>, app: &AppName, image: &Image) -> Result<(), ImageError> {
    let may = match image {
        Image::Built { app: owner, .. } => owner == app,
        Image::External { reference, .. } => parse(reference)?.may_be_used_by(app, &place.namespace()),
    };
    if may {
        return Ok(());
    }
    Err(refused(&shown(image), "it belongs to another app"))
}

/// The id of an image that is here under some name and has this digest.
async fn find(place: &DockerHost<'_>, image: &Image) -> Result<String, ImageError> {
    let digest = image.digest();
    let mut names = vec![pull::name(place, digest), digest.to_string()];
    if let Image::External { reference, .. } = image {
        let parsed = parse(reference)?;
        names.push(parsed.pinned_name());
        names.push(format!("{}@{digest}", parsed.repository()));
    }
    for name in names {
        let found = inspect(place.docker, &name).await?;
        if let Some(id) = found.and_then(|found| id_if(found, digest, &name)) {
            return Ok(id);
        }
    }
    let kept = kept_by_any(place, digest).await?;
    kept.ok_or_else(|| ImageError::NotFound { reference: shown(image) })
}

/// A name may have moved on since the image was resolved; only the digest counts.
fn id_if(found: ImageInspect, digest: &Digest, name: &str) -> Option<String> {
    let id = found.id?;
    let is_it = id == digest.as_str()
        || name.ends_with(&format!(":{}", digest.hex()))
        || found.repo_digests.iter().flatten().any(|known| known.ends_with(&format!("@{digest}")));
    is_it.then_some(id)
}

/// The id under which another app keeps the same public image.
async fn kept_by_any(place: &DockerHost<'_>, digest: &Digest) -> Result<Option<String>, EngineError> {
    let pattern = format!("{}/*:{}", place.namespace(), digest.hex());
    let filters = HashMap::from([("reference", vec![pattern])]);
    let options = ListImagesOptionsBuilder::default().filters(&filters).build();
    let images = place.docker.list_images(Some(options)).await;
    let images = images.map_err(|error| engine_error("look for the image", error))?;
    Ok(images.into_iter().next().map(|image| image.id))
}
