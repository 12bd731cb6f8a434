//! Images of slugs in the registry of a cluster: read the stack, take its layers over, send config and manifest.

use bytes::Bytes;
use domain::slug_image::{MANIFEST_MEDIA_TYPE, SlugImage, Stack};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use oci::{DOCUMENT_BYTES_MAX, Descriptor, OciError, Repository, copy_blob, media_type};

/// Layers taken over at the same time.
const LAYERS_AT_ONCE: usize = 3;

/// An image that is no run image of a stack, or cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum StackReadError {
    #[error("stack image: {0}")]
    NoStack(String),
    #[error(transparent)]
    Registry(#[from] OciError),
}

/// Reads the run image of a stack.
///
/// # Errors
///
/// [`StackReadError::NoStack`] for an image that slugs cannot stand on.
pub async fn read_stack(repository: &Repository, version: &str) -> Result<Stack, StackReadError> {
    let manifest = repository.manifest(version).await?;
    let config = manifest.content.config.filter(|_| manifest.media_type == MANIFEST_MEDIA_TYPE);
    let config = config.ok_or_else(|| StackReadError::NoStack("it is no OCI image".to_owned()))?;
    let config = repository.blob(&config.digest, DOCUMENT_BYTES_MAX).await?;
    Stack::from_config(&config).map_err(|error| StackReadError::NoStack(error.to_string()))
}

/// Makes the layers of a stack layers of the app's repository.
pub async fn take_over(stack: &Stack, from: &Repository, to: &Repository) -> Result<(), OciError> {
    let described =
        stack.layers.iter().map(|it| Descriptor::new(media_type::LAYER, it.digest.clone(), it.size_bytes));
    let copies = described.map(async |layer| copy_blob(from, &layer, to).await);
    stream::iter(copies.collect::<Vec<_>>()).buffer_unordered(LAYERS_AT_ONCE).try_collect::<()>().await
}

/// Sends config and manifest of an image whose layers are there.
pub async fn put_image(image: SlugImage, to: &Repository) -> Result<(), OciError> {
    let SlugImage { config, config_digest: _, manifest, digest, layers: _ } = image;
    to.push_bytes(Bytes::from(config)).await?;
    to.put_manifest(digest.hex(), MANIFEST_MEDIA_TYPE, Bytes::from(manifest)).await
}
