//! Layer cache of Dockerfile builds: BuildKit's cache of type `local`, an OCI layout in the workspace, kept between
//! builds as an image in a repository that only builds of the app can access. An error never fails a build.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use domain::registry_access::app_repository;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::json;

use super::{BuildPod, OrFailed as _, StepError};
use oci::{Access, Descriptor, LayoutPush, Manifest, Repository, image_bytes, push_layout};

/// Folder of the layout below the workspace.
pub const LAYERS: &str = "layers";
/// Beside the cache of packs.
pub const TAG: &str = "layers";
/// Name under which BuildKit looks for a cache in a layout.
const NAME_IN_LAYOUT: &str = "latest";
const INDEX: &str = "index.json";
const BLOBS_AT_ONCE: usize = 3;

/// Returns the layout's folder, and true if it holds a cache.
pub fn found(pod: &BuildPod) -> Option<(PathBuf, bool)> {
    let folder = pod.folder(LAYERS);
    let is_filled = folder.join(INDEX).is_file();
    pod.spec.cache.then_some((folder, is_filled))
}

/// Fills the layout with the cache of the previous build. The index is written last: a layout without it is empty.
pub async fn fetch(pod: &BuildPod) -> Result<(), StepError> {
    let blobs = make_folders(&pod.folder(LAYERS))?;
    let repository = pod.cache_repository(Access::Pull);
    let Some(manifest) = repository.find_manifest(TAG).await? else { return Ok(()) };
    if image_bytes(&repository, &manifest)? > pod.spec.cache_bytes_max {
        return Ok(());
    }
    let wanted: Vec<Descriptor> = manifest.blobs().cloned().collect();
    let fetched = wanted.iter().map(async |blob| fetch_blob(&repository, blob, &blobs).await);
    stream::iter(fetched).buffer_unordered(BLOBS_AT_ONCE).try_collect::<()>().await?;
    write_index(&pod.folder(LAYERS), &blobs, &manifest)
}

/// Uploads the blobs of the layout that the registry lacks. A cache above the limit is not kept.
pub async fn keep(pod: &BuildPod) -> Result<(), StepError> {
    let stack = format!("{}{}", pod.spec.registry_prefix, pod.spec.stack_repository);
    let app = format!("{}{}", pod.spec.registry_prefix, app_repository(&pod.spec.app));
    // Most layers are also layers of the image.
    let mounts = [app.as_str(), stack.as_str()];
    let to = pod.cache_repository(Access::Push).mounting_from(&mounts);
    let push = LayoutPush { tag: Some(TAG), mounts: &mounts, bytes_max: Some(pod.spec.cache_bytes_max) };
    push_layout(&pod.workspace, LAYERS, &to, &push).await?;
    Ok(())
}

/// BuildKit's client runs as another user and writes into the folders.
fn make_folders(layout: &Path) -> Result<PathBuf, StepError> {
    let what = "make the folder of layers";
    let blobs = layout.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).or_failed(what)?;
    for folder in [layout, &layout.join("blobs"), &blobs] {
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o777)).or_failed(what)?;
    }
    Ok(blobs)
}

async fn fetch_blob(from: &Repository, blob: &Descriptor, folder: &Path) -> Result<(), StepError> {
    let (path, hex) = (folder.join(blob.digest.hex()), blob.digest.hex());
    // An incomplete blob must not have its final name.
    let unfinished = folder.join(format!("unfinished-{hex}"));
    from.fetch_blob(blob, &unfinished).await?;
    tokio::fs::rename(&unfinished, &path).await.or_failed("fetch a layer")
}

fn write_index(layout: &Path, blobs: &Path, manifest: &Manifest) -> Result<(), StepError> {
    let what = "write the index of layers";
    std::fs::write(blobs.join(manifest.digest.hex()), &manifest.bytes).or_failed(what)?;
    let index = json!({
        "schemaVersion": 2,
        "manifests": [{
            "mediaType": manifest.media_type, "digest": manifest.digest, "size": manifest.bytes.len(),
            "annotations": { "org.opencontainers.image.ref.name": NAME_IN_LAYOUT },
        }],
    });
    let path = layout.join(INDEX);
    std::fs::write(&path, index.to_string()).or_failed(what)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).or_failed(what)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn a_layout_has_its_cache_under_the_name_that_buildkit_looks_for() {
        let workspace = tempfile::tempdir().expect("a temporary folder");
        let layout = workspace.path().join(LAYERS);
        let content = json!({ "schemaVersion": 2, "config": null, "layers": [] }).to_string();
        let kind = "application/vnd.oci.image.manifest.v1+json";
        let manifest = Manifest::parse(Bytes::from(content.clone()), kind).expect("a manifest");

        let blobs = make_folders(&layout).expect("they are made");
        write_index(&layout, &blobs, &manifest).expect("it is written");

        let index = std::fs::read_to_string(layout.join(INDEX)).expect("it is there");
        let index: serde_json::Value = serde_json::from_str(&index).expect("JSON");
        let named = &index["manifests"][0];
        assert_eq!(named["annotations"]["org.opencontainers.image.ref.name"], "latest");
        assert_eq!((named["mediaType"].as_str(), &named["size"]), (Some(kind), &json!(content.len())));
        let blob = std::fs::read_to_string(blobs.join(manifest.digest.hex())).expect("it is there");
        assert_eq!(blob, content);
    }
}
