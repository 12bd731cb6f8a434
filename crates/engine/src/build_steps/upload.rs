//! The last step: what the build left goes to the registry. User code may still run and change its files: they are
//! read through no link, since this container holds a credential, and each is opened once.

use std::collections::BTreeMap;
use std::io::{Read as _, Seek as _};

use domain::ProcessType;
use domain::build::BuildKind;
use domain::build_steps::BUILD_FIFO;
use domain::registry_access::{app_repository, cache_repository};
use domain::slug_image::{Layer, SLUG_PORT, SLUG_USER, Slug, Stack};
use futures_util::StreamExt as _;
use serde::Deserialize;
use tokio::io::AsyncReadExt as _;
use tokio_util::io::ReaderStream;

use super::staging::{self, Staging};
use super::{BuildOutput, BuildPod, OrFailed as _, StepError, cache, fifos, layers};
use crate::slug_push::{StackReadError, put_image, read_stack, take_over};
use oci::{
    Access, DOCUMENT_BYTES_MAX, ImageConfig, LayoutPush, Repository, digest_of_file, is_index, open_beneath,
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
    let slug = Slug { layer: layer.clone(), process_types, toolchains: pod.spec.toolchains.clone() };
    let image = slug.image(stack);
    let to = app_of(pod);
    if !to.has_blob(&layer.digest).await? {
        file.rewind().or_failed(what)?;
        // The registry refuses other content than that of the digest.
        let content = tokio::fs::File::from_std(file).take(size_bytes);
        let content = ReaderStream::with_capacity(content, CHUNK_BYTES);
        to.push_blob(&layer.digest, size_bytes, content.boxed()).await?;
    }
    let image_digest = image.digest.clone();
    put_image(image, &to).await?;
    Ok(BuildOutput {
        image_digest,
        ports: vec![SLUG_PORT],
        user: SLUG_USER.to_owned(),
        process_types: slug.process_types,
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
    let stack = read_stack(&repository, &pod.spec.stack_version).await?;
    take_over(&stack, &repository, &app_of(pod)).await?;
    Ok(stack)
}

impl From<StackReadError> for StepError {
    fn from(error: StackReadError) -> Self {
        match error {
            StackReadError::NoStack(_) => Self::Refused(error.to_string()),
            StackReadError::Registry(error) => error.into(),
        }
    }
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
