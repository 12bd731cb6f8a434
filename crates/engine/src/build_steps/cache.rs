//! The packs' cache between builds: an OCI artifact of one layer in a repository that only builds of the app
//! reach.

mod pack;

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;

use futures_util::TryStreamExt as _;
use tokio_util::io::{StreamReader, SyncIoBridge};

use super::{BuildPod, OrFailed as _, StepError};
use oci::{Access, Descriptor, FileArtifact, Repository, gzip_layer_type, media_type};
use pack::folder_beneath;

/// The cache's folder below the workspace.
const FOLDER: &str = "cache";
/// Tag of the cache in its repository.
pub const TAG: &str = "latest";
const ARTIFACT_TYPE: &str = "application/vnd.deis.build-cache.v1";
/// Annotation of the layer: hash over its files, without their times.
const FINGERPRINT: &str = "io.deis.cache.fingerprint";

/// Fills the workspace's cache with what the build before kept.
pub async fn fetch(pod: &BuildPod) -> Result<(), StepError> {
    let repository = pod.cache_repository(Access::Pull);
    let Some(manifest) = repository.find_manifest(TAG).await? else { return Ok(()) };
    let Some(layer) = manifest.content.layers.first() else { return Ok(()) };
    let content = repository.blob_stream(layer).await?;
    let reader = SyncIoBridge::new(StreamReader::new(content.map_err(io::Error::other)));
    let folder = pod.folder(FOLDER);
    let is_zstd = !gzip_layer_type(&layer.media_type);
    let unpacked = tokio::task::spawn_blocking(move || pack::unpack(reader, is_zstd, &folder));
    unpacked.await.map_err(io::Error::other).or_failed("unpack the cache")?.or_failed("unpack the cache")
}

/// Keeps the workspace's cache; one that did not change is not sent again, one above the bound not at all.
pub async fn keep(pod: &BuildPod) -> Result<(), StepError> {
    let Some(folder) = folder_beneath(&pod.workspace, FOLDER) else { return Ok(()) };
    let repository = pod.cache_repository(Access::Push);
    let kept = repository.find_manifest(TAG).await?;
    let kept = kept.and_then(|manifest| manifest.content.layers.into_iter().next());
    // Not in the workspace, where user code may have left a link.
    let path = std::env::temp_dir().join("cache.tar.zst");
    let file = File::create(&path).or_failed("pack the cache")?;
    let bytes_max = pod.spec.cache_bytes_max;
    let packing = tokio::task::spawn_blocking(move || packed(&folder, file, bytes_max, kept.as_ref()));
    match packing.await.map_err(io::Error::other).or_failed("pack the cache")?? {
        Packing::Unchanged => Ok(()),
        Packing::TooLarge => {
            println!(" !     the cache is larger than {} MB and is not kept", bytes_max >> 20);
            Ok(())
        }
        Packing::Packed { fingerprint } => send(&repository, &path, fingerprint).await,
    }
}

enum Packing {
    Unchanged,
    TooLarge,
    Packed { fingerprint: String },
}

fn packed(
    folder: &File,
    file: File,
    bytes_max: u64,
    kept: Option<&Descriptor>,
) -> Result<Packing, StepError> {
    let kept = kept.and_then(|layer| layer.annotations.get(FINGERPRINT));
    if kept.is_some() && pack::fingerprint(folder, bytes_max)?.as_ref() == kept {
        return Ok(Packing::Unchanged);
    }
    let packed = pack::pack(folder, file, bytes_max)?;
    Ok(packed.map_or(Packing::TooLarge, |fingerprint| Packing::Packed { fingerprint }))
}

async fn send(repository: &Repository, path: &Path, fingerprint: String) -> Result<(), StepError> {
    let annotations = BTreeMap::from([(FINGERPRINT.to_owned(), fingerprint)]);
    let cache = FileArtifact { artifact_type: ARTIFACT_TYPE, file_type: media_type::LAYER_ZSTD, annotations };
    let manifest = cache.push_file(repository, path).await?;
    Ok(repository.put_manifest(TAG, media_type::MANIFEST, manifest).await?)
}
