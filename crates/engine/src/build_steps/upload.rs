//! The last step: what the build left goes to the registry. User code may still run and change its files: they are
//! read through no link, since this container holds a credential, and each is opened once.

use std::collections::BTreeMap;
use std::io::{Read as _, Seek as _};

use bytes::Bytes;
use domain::ProcessType;
use domain::build::BuildKind;
use domain::build_steps::BUILD_FIFO;
use domain::registry_access::{app_repository, cache_repository};
use domain::slug_image::{Layer, MANIFEST_MEDIA_TYPE, SLUG_PORT, SLUG_USER, SlugImage, Stack, slug_image};
use futures_util::StreamExt as _;
use serde::Deserialize;
use tokio::io::AsyncReadExt as _;
use tokio_util::io::ReaderStream;

use super::staging::{self, Staging};
use super::{BuildOutput, BuildPod, OrFailed as _, StepError, cache, fifos, layers};
use oci::{
    Access, DOCUMENT_BYTES_MAX, Descriptor, ImageConfig, LayoutPush, OciError, Repository, digest_of_file,
    is_index, media_type, open_beneath,
};

const LAYER: &str = "out/layer.tar";
const RESULT: &str = "out/result.json";
const RESULT_BYTES_MAX: u64 = 1 << 20;
const CHUNK_BYTES: usize = 256 << 10;

/// Uploads the image and the caches, and prints the [`BuildOutput`] as the last line.
pub async fn upload(pod: &BuildPod) -> Result<(), StepError> {
    let built = match pod.spec.kind {
        // Compressing the cache needs the CPU, uploading the image the network.
        // The engine refuses the other kind before it begins.
        BuildKind::Buildpack | BuildKind::Cnb => {
            let (waited, stack) = tokio::join!(fifos::wait(pod, BUILD_FIFO), stack_for(pod));
            waited?;
            let stack = stack?;
            tokio::join!(slug(pod, &stack), keep(pod, cache::keep(pod))).0?
        }
        // The image comes first: the cache then mounts most of its layers.
        BuildKind::Dockerfile => {
            let staging = Staging::start(pod).await?;
            fifos::wait(pod, BUILD_FIFO).await?;
            let built = image(pod, &staging).await?;
            keep(pod, layers::keep(pod, &staging)).await;
            built
        }
    };
    println!("{}", serde_json::to_string(&built).expect("texts and numbers are JSON"));
    Ok(())
}

/// Keeps a cache. An error is a warning: a cache only saves time.
async fn keep(pod: &BuildPod, keeping: impl Future<Output = Result<(), StepError>>) {
    if pod.spec.cache
        && let Err(error) = keeping.await
    {
        println!(" !     the cache cannot be kept: {error}");
    }
}

/// Report of `slug build` about its layer.
#[derive(Deserialize)]
struct BuildResult {
    process_types: BTreeMap<ProcessType, String>,
}

/// The stack and the one layer that the build made.
async fn slug(pod: &BuildPod, stack: &Stack) -> Result<BuildOutput, StepError> {
    let process_types = read_result(pod)?.process_types;
    let what = "read the slug";
    let mut file = open_beneath(&pod.workspace, LAYER).or_failed("the build left no slug")?;
    let size_bytes = file.metadata().or_failed(what)?.len();
    if size_bytes > pod.spec.slug_bytes_max {
        return Err(StepError::Refused(format!(
            "the slug has {} MB, {} MB are allowed; list what the app does not need in .slugignore",
            size_bytes.div_ceil(1 << 20),
            pod.spec.slug_bytes_max >> 20
        )));
    }
    let digest = digest_of_file(file.try_clone().or_failed(what)?, size_bytes).await.or_failed(what)?;
    let layer = Layer { digest, size_bytes };
    let image = slug_image(stack, layer.clone(), &process_types);
    let to = app_of(pod);
    if !to.has_blob(&layer.digest).await? {
        file.rewind().or_failed(what)?;
        // The registry refuses other content than that of the digest.
        let content = tokio::fs::File::from_std(file).take(size_bytes);
        let content = ReaderStream::with_capacity(content, CHUNK_BYTES);
        to.push_blob(&layer.digest, size_bytes, content.boxed()).await?;
    }
    let SlugImage { config, config_digest: _, manifest, digest, layers: _ } = image;
    to.push_bytes(Bytes::from(config)).await?;
    to.put_manifest(digest.hex(), MANIFEST_MEDIA_TYPE, Bytes::from(manifest)).await?;
    Ok(BuildOutput {
        image_digest: digest,
        ports: vec![SLUG_PORT],
        user: SLUG_USER.to_owned(),
        process_types,
    })
}

fn read_result(pod: &BuildPod) -> Result<BuildResult, StepError> {
    let what = "read the build's result";
    let file = open_beneath(&pod.workspace, RESULT).or_failed(what)?;
    let mut bytes = Vec::new();
    file.take(RESULT_BYTES_MAX).read_to_end(&mut bytes).or_failed(what)?;
    serde_json::from_slice(&bytes)
        .map_err(|error| StepError::Refused(format!("the build's result cannot be read: {error}")))
}

/// The app's repository.
fn app_of(pod: &BuildPod) -> Repository {
    let stack = pod.full_name(&pod.spec.stack_repository);
    pod.repository(&app_repository(&pod.spec.app), Access::Push).mounting_from(&[&stack])
}

/// The stack, whose layers are then layers of the app's repository: it does not depend on the build.
async fn stack_for(pod: &BuildPod) -> Result<Stack, StepError> {
    let repository = pod.repository(&pod.spec.stack_repository, Access::Pull);
    let stack = stack(pod, &repository).await?;
    let to = app_of(pod);
    for layer in &stack.layers {
        take_over(&repository, layer, &to).await?;
    }
    Ok(stack)
}

async fn stack(pod: &BuildPod, repository: &Repository) -> Result<Stack, StepError> {
    let manifest = repository.manifest(&pod.spec.stack_version).await?;
    let config = manifest.content.config.filter(|_| manifest.media_type == MANIFEST_MEDIA_TYPE);
    let refused = |reason: String| StepError::Refused(format!("stack image: {reason}"));
    let config = config.ok_or_else(|| refused("it is no OCI image".to_owned()))?;
    let config = repository.blob(&config.digest, DOCUMENT_BYTES_MAX).await?;
    Stack::from_config(&config).map_err(|error| refused(error.to_string()))
}

/// Makes a layer of the stack a layer of the app's repository.
async fn take_over(stack: &Repository, layer: &Layer, to: &Repository) -> Result<(), OciError> {
    if to.has_blob(&layer.digest).await? || to.mount_blob(&layer.digest, stack.name()).await? {
        return Ok(());
    }
    let descriptor = Descriptor::new(media_type::LAYER, layer.digest.clone(), layer.size_bytes);
    let content = stack.blob_stream(&descriptor).await?;
    to.push_blob(&layer.digest, layer.size_bytes, content).await
}

/// The image that a Dockerfile made.
async fn image(pod: &BuildPod, staging: &Staging) -> Result<BuildOutput, StepError> {
    let stack = pod.full_name(&pod.spec.stack_repository);
    let cache = pod.full_name(&cache_repository(&pod.spec.app));
    let mounts = [stack.as_str(), cache.as_str()];
    let to = pod.repository(&app_repository(&pod.spec.app), Access::Push).mounting_from(&mounts);
    let push = LayoutPush { tag: None, mounts: &mounts, bytes_max: None };
    let image_digest = staging.upload(staging::IMAGE, &to, &push).await?;
    let manifest = to.manifest(image_digest.as_str()).await?;
    let config = manifest.content.config.as_ref().filter(|_| !is_index(&manifest));
    let refused = |reason: String| StepError::Refused(format!("the image that was built: {reason}"));
    let config = config.ok_or_else(|| refused("it has no config".to_owned()))?;
    let config = to.blob(&config.digest, DOCUMENT_BYTES_MAX).await?;
    let config = ImageConfig::parse(&config).map_err(refused)?;
    Ok(BuildOutput {
        image_digest,
        ports: config.ports(),
        user: config.user(),
        process_types: BTreeMap::new(),
    })
}
