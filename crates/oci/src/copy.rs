//! Copies images from one repository to another: only missing blobs are sent, as streams.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::{Descriptor, Manifest, OciError, Repository};

/// Blobs copied at the same time.
const BLOBS_AT_ONCE: usize = 3;
/// Largest image that is copied.
pub const IMAGE_BYTES_MAX: u64 = 64 << 30;

/// Copies an image's blobs and its manifest, which is then under `tag`.
pub async fn copy_image(
    from: &Repository,
    manifest: &Manifest,
    to: &Repository,
    tag: &str,
) -> Result<(), OciError> {
    copy_blobs(from, manifest, to).await?;
    to.put_manifest(tag, &manifest.media_type, manifest.bytes.clone()).await
}

/// Copies what the manifest needs.
pub async fn copy_blobs(from: &Repository, manifest: &Manifest, to: &Repository) -> Result<(), OciError> {
    image_bytes(from, manifest)?;
    let blobs: Vec<Descriptor> = manifest.blobs().cloned().collect();
    let copies = blobs.into_iter().map(async |blob| copy_blob(from, &blob, to).await);
    stream::iter(copies).buffer_unordered(BLOBS_AT_ONCE).try_collect::<()>().await
}

/// Bytes of all blobs of an image.
///
/// # Errors
/// An image larger than [`IMAGE_BYTES_MAX`].
pub fn image_bytes(from: &Repository, manifest: &Manifest) -> Result<u64, OciError> {
    let size_bytes: u64 = manifest.blobs().map(|blob| blob.size_bytes).fold(0, u64::saturating_add);
    if size_bytes > IMAGE_BYTES_MAX {
        let reason = format!("it has {} GB, {} are taken at most", size_bytes >> 30, IMAGE_BYTES_MAX >> 30);
        return Err(OciError::Malformed { what: format!("image {}", from.name()), reason });
    }
    Ok(size_bytes)
}

/// Copies a blob that the other repository lacks.
pub async fn copy_blob(from: &Repository, blob: &Descriptor, to: &Repository) -> Result<(), OciError> {
    if to.has_blob(&blob.digest).await? {
        return Ok(());
    }
    if from.is_beside(to) && to.mount_blob(&blob.digest, from.name()).await? {
        return Ok(());
    }
    let content = from.blob_stream(blob).await?;
    to.push_blob(&blob.digest, blob.size_bytes, content).await
}
