//! The packs' cache between builds: an OCI artifact of one layer in a repository that only builds of the app
//! reach.

mod pack;

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use serde_json::json;
use tokio_util::io::{ReaderStream, StreamReader, SyncIoBridge};

use super::{BuildPod, OrFailed as _, StepError, digest_of_file};
use oci::{Access, Descriptor, Repository, gzip_layer_type};
use pack::{PackedCache, folder_beneath};

/// The cache's folder below the workspace.
const FOLDER: &str = "cache";
/// Tag of the cache in its repository.
pub const TAG: &str = "latest";
const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";
const ARTIFACT_TYPE: &str = "application/vnd.deis.build-cache.v1";
/// Annotation of the layer: hash over its files, without their times.
const FINGERPRINT: &str = "io.deis.cache.fingerprint";
const LAYER_TYPE: &str = "application/vnd.oci.image.layer.v1.tar+zstd";

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
        Packing::Packed(packed) => send(&repository, &path, packed).await,
    }
}

enum Packing {
    Unchanged,
    TooLarge,
    Packed(PackedCache),
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
    Ok(pack::pack(folder, file, bytes_max)?.map_or(Packing::TooLarge, Packing::Packed))
}

async fn send(repository: &Repository, path: &Path, packed: PackedCache) -> Result<(), StepError> {
    let PackedCache { size_bytes, fingerprint } = packed;
    let opened = || File::open(path).or_failed("read the packed cache");
    let digest = digest_of_file(opened()?).await.or_failed("read the packed cache")?;
    if !repository.has_blob(&digest).await? {
        let content = ReaderStream::with_capacity(tokio::fs::File::from_std(opened()?), 256 << 10);
        repository.push_blob(&digest, size_bytes, content.boxed()).await?;
    }
    let config = repository.push_bytes(Bytes::from_static(b"{}")).await?;
    let described = |media_type: &str, digest, size_bytes, annotations| Descriptor {
        media_type: media_type.to_owned(),
        digest,
        size_bytes,
        platform: None,
        annotations,
    };
    let annotations = BTreeMap::from([(FINGERPRINT.to_owned(), fingerprint)]);
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST_TYPE, "artifactType": ARTIFACT_TYPE,
        "config": described(EMPTY_TYPE, config, 2, BTreeMap::new()),
        "layers": [described(LAYER_TYPE, digest, size_bytes, annotations)],
    });
    Ok(repository.put_manifest(TAG, MANIFEST_TYPE, Bytes::from(manifest.to_string())).await?)
}
