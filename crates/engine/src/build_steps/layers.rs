//! Layer cache of Dockerfile builds: what BuildKit keeps of the steps of a build, as an image in a repository that only
//! builds of the app can access. An error never fails a build.

use domain::registry_access::app_repository;

use super::staging::{self, Staging};
use super::{BuildPod, StepError};
use oci::{Access, LayoutPush, Manifest, Repository, image_bytes};

/// Beside the cache of packs.
pub const TAG: &str = "layers";

/// The cache of the previous build and its repository, unless it is above the limit.
pub async fn kept(pod: &BuildPod) -> Option<(Repository, Manifest)> {
    if !pod.spec.cache {
        return None;
    }
    let repository = pod.cache_repository(Access::Pull);
    let bytes_max = pod.spec.cache_bytes_max;
    let found = async {
        let Some(manifest) = repository.find_manifest(TAG).await? else { return Ok(None) };
        Ok::<_, StepError>((image_bytes(&repository, &manifest)? <= bytes_max).then_some(manifest))
    };
    match found.await {
        Ok(manifest) => manifest.map(|manifest| (repository, manifest)),
        Err(error) => {
            println!(" !     the cache cannot be had, building without it: {error}");
            None
        }
    }
}

/// Uploads the blobs that the registry lacks. A cache above the limit is not kept.
pub async fn keep(pod: &BuildPod, staging: &Staging) -> Result<(), StepError> {
    if !staging.has(staging::CACHE) {
        return Ok(());
    }
    // Most layers are also layers of the image.
    let (app, stack) =
        (pod.full_name(&app_repository(&pod.spec.app)), pod.full_name(&pod.spec.stack_repository));
    let mounts = [app.as_str(), stack.as_str()];
    let to = pod.cache_repository(Access::Push).mounting_from(&mounts);
    let push = LayoutPush { tag: Some(TAG), mounts: &mounts, bytes_max: Some(pod.spec.cache_bytes_max) };
    staging.upload(staging::CACHE, &to, &push).await.map(drop)
}
