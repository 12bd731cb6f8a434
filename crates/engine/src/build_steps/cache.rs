//! The packs' cache between builds: an OCI artifact of one layer in a repository that only builds of the app
//! reach.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use serde_json::json;
use tokio_util::io::{ReaderStream, StreamReader, SyncIoBridge};

use super::{BuildPod, OrFailed as _, StepError, is_folder};
use oci::{Access, Descriptor};

/// Tag of the cache in its repository.
pub const TAG: &str = "latest";
const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";
const ARTIFACT_TYPE: &str = "application/vnd.deis.build-cache.v1";
const LAYER_TYPE: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// Fills the workspace's cache with what the build before kept.
pub async fn fetch(pod: &BuildPod) -> Result<(), StepError> {
    let repository = pod.cache_repository(Access::Pull);
    let Some(manifest) = repository.find_manifest(TAG).await? else { return Ok(()) };
    let Some(layer) = manifest.content.layers.first() else { return Ok(()) };
    let content = repository.blob_stream(layer).await?;
    let reader = SyncIoBridge::new(StreamReader::new(content.map_err(io::Error::other)));
    let folder = pod.folder("cache");
    let unpacked = tokio::task::spawn_blocking(move || {
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(reader));
        archive.set_preserve_mtime(true);
        archive.unpack(&folder)
    });
    unpacked.await.map_err(io::Error::other).or_failed("unpack the cache")?.or_failed("unpack the cache")
}

/// Keeps the workspace's cache; one that did not change is not sent again, one above the bound not at all.
pub async fn keep(pod: &BuildPod) -> Result<(), StepError> {
    let folder = pod.folder("cache");
    if !is_folder(&folder) {
        return Ok(());
    }
    // Not in the workspace, where user code may have left a link.
    let packed = std::env::temp_dir().join("cache.tar.gz");
    let bound = pod.spec.cache_bytes_max;
    let file = File::create(&packed).or_failed("pack the cache")?;
    let size_bytes = tokio::task::spawn_blocking(move || pack(&folder, file, bound))
        .await
        .map_err(io::Error::other)
        .or_failed("pack the cache")??;
    let Some(size_bytes) = size_bytes else {
        println!(" !     the cache is larger than {} MB and is not kept", bound >> 20);
        return Ok(());
    };
    let opened = || File::open(&packed).or_failed("read the packed cache");
    let digest = super::upload::digest_of(opened()?).await?;
    let repository = pod.cache_repository(Access::Push);
    if !repository.has_blob(&digest).await? {
        let content = ReaderStream::with_capacity(tokio::fs::File::from_std(opened()?), 256 << 10);
        repository.push_blob(&digest, size_bytes, content.boxed()).await?;
    }
    let config = repository.push_bytes(Bytes::from_static(b"{}")).await?;
    let described = |media_type: &str, digest, size_bytes| Descriptor {
        media_type: media_type.to_owned(),
        digest,
        size_bytes,
        platform: None,
        annotations: BTreeMap::new(),
    };
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST_TYPE, "artifactType": ARTIFACT_TYPE,
        "config": described(EMPTY_TYPE, config, 2),
        "layers": [described(LAYER_TYPE, digest, size_bytes)],
    });
    Ok(repository.put_manifest(TAG, MANIFEST_TYPE, Bytes::from(manifest.to_string())).await?)
}

/// Packs a folder, entries sorted so that the same files give the same bytes; `None` above the bound.
fn pack(folder: &Path, file: File, bytes_max: u64) -> Result<Option<u64>, StepError> {
    let what = "pack the cache";
    let gzip = flate2::GzBuilder::new().write(file, flate2::Compression::fast());
    let mut archive = tar::Builder::new(gzip);
    archive.follow_symlinks(false);
    let mut total_bytes = 0;
    let mut folders = vec![folder.to_owned()];
    while let Some(current) = folders.pop() {
        let mut entries: Vec<_> =
            std::fs::read_dir(&current).and_then(Iterator::collect::<io::Result<_>>).or_failed(what)?;
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            let path = entry.path();
            let metadata = entry.metadata().or_failed(what)?;
            let kind = metadata.file_type();
            if !(kind.is_dir() || kind.is_file() || kind.is_symlink()) {
                continue;
            }
            total_bytes += metadata.len();
            if total_bytes > bytes_max {
                return Ok(None);
            }
            let name = path.strip_prefix(folder).unwrap_or(&path);
            if kind.is_dir() {
                archive.append_dir(name, &path).or_failed(what)?;
                folders.push(path);
            } else {
                archive.append_path_with_name(&path, name).or_failed(what)?;
            }
        }
    }
    let file = archive.into_inner().and_then(flate2::write::GzEncoder::finish).or_failed(what)?;
    Ok(Some(file.metadata().or_failed(what)?.len()))
}
