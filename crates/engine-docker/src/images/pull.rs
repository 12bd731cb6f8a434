//! Pulling: an image that is not here is fetched from its registry.
//!
//! The platform fetches it and hands it to Docker as an archive: Docker itself would connect to wherever a registry
//! sends it, also to services that only this machine reaches. A pulled image gets a name of the platform's and none
//! other. So the next `deis pull` of the same tag asks the registry again, an app without credentials cannot use what
//! another app pulled with them, and nothing is left that nobody would remove.

use std::io;
use std::time::Duration;

use bollard::errors::Error;
use bollard::models::ImageInspect;
use bollard::query_parameters::ImportImageOptionsBuilder;
use bytes::Bytes;
use domain::Digest;
use domain::image_reference::ImageReference;
use domain::slug_archive::blob_path;
use futures_util::{StreamExt as _, TryStreamExt as _};
use serde_json::json;
use tar::Header;

use super::super::jobs::{DockerHost, Sink, engine_error, message, named_images, remove_image, status, tag};
use super::{inspect, kept_by_any};
use engine::origin::{Origins, image_error, image_manifest, too_long};
use engine::{EngineError, ImageError, RegistryCredentials};
use oci::{DOCUMENT_BYTES_MAX, Descriptor, Manifest, OciError, Repository, image_bytes};

/// Longest wait for the registry's first response.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(90);
const PULL_TIMEOUT: Duration = Duration::from_secs(20 * 60);
/// No app has this name: those begin with a letter.
const PULLED: &str = "0pulled";
const BLOCK_BYTES: u64 = 512;

/// The platform's name for an image that was pulled and not kept for an app yet.
pub fn name(place: &DockerHost<'_>, digest: &Digest) -> String {
    format!("{}/{PULLED}:{}", place.namespace(), digest.hex())
}

/// Pulls the image; gives its manifest's digest, and what Docker says of it.
pub async fn pull(
    place: &DockerHost<'_>,
    origins: &Origins,
    reference: &ImageReference,
    credentials: Option<&RegistryCredentials>,
) -> Result<(Digest, ImageInspect), ImageError> {
    let sorted =
        |error| image_error(reference, credentials.is_some(), error, |error| unavailable(reference, &error));
    let origin = origins.repository(reference, credentials, &place.settings.insecure_hosts);
    let version = reference.digest.as_ref().map(Digest::to_string).or(reference.tag.clone());
    let version = version.unwrap_or_default();
    let manifest = tokio::time::timeout(ANSWER_TIMEOUT, image_manifest(&origin, &version)).await;
    let manifest = manifest.unwrap_or_else(|_| Err(too_long(&reference.host))).map_err(sorted)?;
    let name = name(place, &manifest.digest);
    match kept_by_any(place, &manifest.digest).await? {
        Some(id) => name_it(place, &id, &name).await?,
        None => {
            let loaded = tokio::time::timeout(PULL_TIMEOUT, load(place, &origin, &manifest, &name)).await;
            match loaded.unwrap_or_else(|_| Err(PullError::Registry(too_long(&reference.host)))) {
                Ok(()) => {}
                Err(PullError::Registry(error)) => return Err(sorted(error)),
                Err(PullError::Docker(error)) => {
                    return Err(engine_error("load the pulled image", error).into());
                }
            }
        }
    }
    let not_found = || ImageError::NotFound { reference: reference.to_string() };
    let found = inspect(place.docker, &name).await?.ok_or_else(not_found)?;
    Ok((manifest.digest, found))
}

async fn name_it(place: &DockerHost<'_>, id: &str, name: &str) -> Result<(), EngineError> {
    tag(place.docker, id, name).await.map_err(|error| engine_error("name the pulled image", error))
}

/// The side that failed.
enum PullError {
    Registry(OciError),
    Docker(Error),
}

impl From<OciError> for PullError {
    fn from(error: OciError) -> Self {
        Self::Registry(error)
    }
}

/// Streams the image into Docker under `name`.
async fn load(
    place: &DockerHost<'_>,
    origin: &Repository,
    manifest: &Manifest,
    name: &str,
) -> Result<(), PullError> {
    image_bytes(origin, manifest)?;
    let config = manifest.content.config.as_ref().ok_or_else(|| OciError::Malformed {
        what: format!("image {}", origin.name()),
        reason: "its manifest names no config".to_owned(),
    })?;
    let config_bytes = origin.blob(&config.digest, DOCUMENT_BYTES_MAX).await?;
    let (sending, body) =
        Sink::body(async |sink| send(sink, origin, manifest, (config, config_bytes), name).await);
    let options = ImportImageOptionsBuilder::default().quiet(true).build();
    let docker = place.docker.clone().with_timeout(PULL_TIMEOUT);
    let said = docker.import_image(options, bollard::body_try_stream(body), None);
    let (sent, loaded) = tokio::join!(sending, said.try_for_each(async |_| Ok(())));
    match (sent, loaded) {
        // Docker stopped reading; its response has the reason.
        (Err(SendError::Gone) | Ok(()), Err(error)) => return Err(PullError::Docker(error)),
        (Err(SendError::Registry(error)), _) => return Err(error.into()),
        (_, Ok(())) => {}
    }
    named(place, config, manifest, name).await.map_err(PullError::Docker)
}

/// Makes sure that the image has its name: stores differ in which of the archive's names they take.
async fn named(
    place: &DockerHost<'_>,
    config: &Descriptor,
    manifest: &Manifest,
    name: &str,
) -> Result<(), Error> {
    if place.docker.inspect_image(name).await.is_ok() {
        return Ok(());
    }
    match tag(place.docker, config.digest.as_str(), name).await {
        Err(error) if status(&error) == Some(404) => tag(place.docker, manifest.digest.as_str(), name).await,
        tagged => tagged,
    }
}

enum SendError {
    Registry(OciError),
    /// Docker reads no more.
    Gone,
}

impl From<OciError> for SendError {
    fn from(error: OciError) -> Self {
        Self::Registry(error)
    }
}

/// Writes an archive that both kinds of stores load: the OCI layout for stores of containerd's kind, and
/// `manifest.json` for Docker's classic one.
async fn send(
    sink: &Sink,
    origin: &Repository,
    manifest: &Manifest,
    (config, config_bytes): (&Descriptor, Bytes),
    name: &str,
) -> Result<(), SendError> {
    let layers = &manifest.content.layers;
    let paths: Vec<_> = layers.iter().map(|layer| blob_path(&layer.digest)).collect();
    let docker = json!([{ "Config": blob_path(&config.digest), "RepoTags": [name], "Layers": paths }]);
    let index = manifest.archive_index(&format!("docker.io/{name}"));
    for (path, content) in [
        ("oci-layout".to_owned(), Bytes::from_static(br#"{"imageLayoutVersion":"1.0.0"}"#)),
        ("index.json".to_owned(), index.into()),
        ("manifest.json".to_owned(), docker.to_string().into()),
        (blob_path(&manifest.digest), manifest.bytes.clone()),
        (blob_path(&config.digest), config_bytes),
    ] {
        let size_bytes = content.len() as u64;
        put(sink, header(&path, size_bytes)).await?;
        put(sink, content).await?;
        put(sink, padding(size_bytes)).await?;
    }
    let mut sent: Vec<&Digest> = Vec::new();
    for layer in layers {
        // An image may have the same layer twice; once is enough.
        if !sent.contains(&&layer.digest) {
            send_layer(sink, origin, layer).await?;
            sent.push(&layer.digest);
        }
    }
    put(sink, Bytes::from_static(&[0; 2 * BLOCK_BYTES as usize])).await
}

async fn send_layer(sink: &Sink, origin: &Repository, layer: &Descriptor) -> Result<(), SendError> {
    put(sink, header(&blob_path(&layer.digest), layer.size_bytes)).await?;
    let mut content = origin.blob_stream(layer).await?;
    while let Some(piece) = content.next().await {
        let damaged = |error: io::Error| OciError::Malformed {
            what: format!("image {}", origin.name()),
            reason: error.to_string(),
        };
        put(sink, piece.map_err(damaged)?).await?;
    }
    put(sink, padding(layer.size_bytes)).await
}

async fn put(sink: &Sink, bytes: Bytes) -> Result<(), SendError> {
    sink.send(bytes).await.map_err(|_| SendError::Gone)
}

fn header(path: &str, size_bytes: u64) -> Bytes {
    let mut header = Header::new_gnu();
    header.set_path(path).expect("the path of a blob fits into a header");
    header.set_mode(0o644);
    header.set_size(size_bytes);
    header.set_cksum();
    Bytes::copy_from_slice(header.as_bytes())
}

fn padding(size_bytes: u64) -> Bytes {
    let over = size_bytes.next_multiple_of(BLOCK_BYTES) - size_bytes;
    Bytes::from(vec![0; usize::try_from(over).unwrap_or_default()])
}

/// A failure that is neither a missing nor a forbidden image.
fn unavailable(reference: &ImageReference, error: &OciError) -> ImageError {
    let reason = format!(
        "image {reference} not found on this machine, and pulling it from {} failed: {error}; where no \
         registry can be reached, bring the image with `docker load`",
        reference.host
    );
    ImageError::Engine(EngineError::Refused { what: "pull".to_owned(), reason })
}

/// Takes away the name that a pulled image had until an app kept it.
pub async fn forget(place: &DockerHost<'_>, digest: &Digest) {
    if let Err(error) = remove_image(place.docker, &name(place, digest)).await {
        tracing::warn!(%digest, error = message(&error), "cannot remove the name of a pulled image");
    }
}

/// Takes such names away that an earlier process left.
pub async fn remove_orphans(place: &DockerHost<'_>) -> Result<(), Error> {
    let repository = format!("{}/{PULLED}", place.namespace());
    for (name, _) in named_images(place.docker, &repository).await? {
        remove_image(place.docker, &name).await?;
    }
    Ok(())
}
