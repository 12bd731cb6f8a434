//! Dockerfile builds, in order: a builder with the source and the app's layers, the build, the image from its
//! layout.
//!
//! A build has access to no store but its own: images of other apps, of other platforms and of the machine do not
//! exist there, under any name.

use bytes::Bytes;
use domain::build::{BuildJob, BuiltImage};
use tokio::sync::mpsc;

use super::builder::{self, BuildkitContainer, LAYOUT};
use super::caches::{self, CacheUse};
use super::failure;
use super::load::{self, BuiltLayout};
use super::{DockerHost, bases};
use crate::DockerEngine;
use engine::{JobError, SourceStream};

/// Runs the build; the caller bounds its time.
pub async fn build(
    engine: &DockerEngine,
    place: &DockerHost<'_>,
    job: &BuildJob,
    source: SourceStream,
    output: &mpsc::Sender<Bytes>,
) -> Result<BuiltImage, JobError> {
    let volume = place.layers_volume(&job.app);
    caches::remove_unless_kept(place, job, &volume).await?;
    let bases = bases::bases(place, &engine.inner.bases).await?;
    let cache = CacheUse::new(&engine.inner, &job.app, volume.clone(), &place.settings.builder_image);
    let builder = builder::start(place, job, source, bases.mounts).await?;
    let built = builder.build(place, job, &bases.contexts, output).await;
    let loaded = async {
        built?;
        let layout = BuiltLayout { container: &builder.container, folder: LAYOUT, below: None };
        load::load(place, job, &layout, &bases.layers).await.map(|loaded| loaded.image)
    };
    let (loaded, size_bytes) = tokio::join!(loaded, prune(place, job, &builder));
    if let Err(error) = builder.container.remove().await {
        tracing::warn!(app = %job.app, error = failure::message(&error), "cannot remove the build's container");
    }
    cache.end(place, job, size_bytes).await;
    loaded
}

/// A failure of this costs disk, not the build.
async fn prune(place: &DockerHost<'_>, job: &BuildJob, builder: &BuildkitContainer) -> Option<u64> {
    if !job.cache {
        return None;
    }
    let pruned = builder.prune(place).await;
    pruned
        .inspect_err(|error| {
            tracing::warn!(app = %job.app, error = failure::message(error), "cannot prune a build cache");
        })
        .ok()
}
