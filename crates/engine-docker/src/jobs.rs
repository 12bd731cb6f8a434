//! Jobs on Docker: builds and one-off processes.
//!
//! Each job is a container that is watched to its end and removed whatever
//! happens: by the job itself, by a guard when its future is dropped, and by the next engine when the
//! process died.

mod archive;
mod bases;
mod builder;
mod buildpack;
mod caches;
mod cnb;
mod container;
mod docker_host;
mod dockerfile;
mod failure;
mod load;
pub(super) mod one_off;
mod outward_links;
mod rebase;
pub(crate) mod saved;
mod slug;
mod stack;
mod volume_size;

use std::time::Duration;

use async_trait::async_trait;
use bollard::Docker;
use bollard::errors::Error;
use bollard::query_parameters::TagImageOptionsBuilder;
use bytes::Bytes;
use domain::build::{BuildJob, BuildKind, BuiltImage, OneOff, ProcessResult};
use domain::stacks::StackName;
use domain::{AppName, Image};
use futures_util::{Stream, StreamExt as _};
use tokio::sync::mpsc;

use super::DockerEngine;
use engine::job::{REBASE_SECONDS_MAX, within};
use engine::{JobError, Jobs, SourceStream};

pub(super) use archive::Sink;
pub(super) use bases::LayoutCache as KnownBases;
pub(super) use caches::CacheSizes as KnownCaches;
pub(super) use docker_host::{DockerHost, named_images, remove_image, remove_volume};
pub(super) use failure::{engine_error, job_error, message, reason, size, status};
pub(super) use volume_size::volume_bytes;

#[async_trait]
impl Jobs for DockerEngine {
    async fn build(
        &self,
        job: &BuildJob,
        source: SourceStream,
        output: mpsc::Sender<Bytes>,
    ) -> Result<BuiltImage, JobError> {
        let docker = with_timeout(self.docker(), job.deadline_seconds);
        let place = DockerHost { docker: &docker, settings: self.settings() };
        let build = async {
            match job.kind {
                BuildKind::Buildpack => buildpack::build(self, &place, job, source, &output).await,
                BuildKind::Dockerfile => dockerfile::build(self, &place, job, source, &output).await,
                BuildKind::Cnb => cnb::build(self, &place, job, source, &output).await,
            }
        };
        within(job.deadline_seconds, build).await
    }

    async fn rebase(&self, app: &AppName, image: &Image, stack: &StackName) -> Result<Image, JobError> {
        let docker = with_timeout(self.docker(), REBASE_SECONDS_MAX);
        let place = DockerHost { docker: &docker, settings: self.settings() };
        within(REBASE_SECONDS_MAX, rebase::rebase(&place, app, image, stack)).await
    }

    async fn run(&self, run: &OneOff) -> Result<ProcessResult, JobError> {
        let docker = with_timeout(self.docker(), run.deadline_seconds);
        let place = DockerHost { docker: &docker, settings: self.settings() };
        let network = self.app_network(&run.app).await?;
        within(run.deadline_seconds, one_off::run(&place, run, self.inner.cpus, network)).await
    }
}

impl DockerEngine {
    /// Removes what jobs of an earlier process left: their containers and unfinished slugs.
    pub(super) async fn remove_orphaned_jobs(&self) -> Result<(), Error> {
        let place = DockerHost { docker: self.docker(), settings: self.settings() };
        place.remove_orphans().await
    }
}

/// The client for requests that last as long as a job: the job's deadline bounds them, not the client's.
pub(super) fn with_timeout(docker: &Docker, deadline_seconds: u32) -> Docker {
    docker.clone().with_timeout(Duration::from_secs(u64::from(deadline_seconds) + 1))
}

/// Passes output on as it comes. A listener that went away does not stop the job.
async fn forward(
    mut stream: impl Stream<Item = Result<Bytes, Error>> + Unpin,
    output: &mpsc::Sender<Bytes>,
) -> Result<(), Error> {
    while let Some(chunk) = stream.next().await {
        let _ = output.send(chunk?).await;
    }
    Ok(())
}

/// Gives an image another name, `repository:tag`.
pub(super) async fn tag(docker: &Docker, image: &str, name: &str) -> Result<(), Error> {
    let (repository, tag) = name.rsplit_once(':').unwrap_or((name, "latest"));
    let options = TagImageOptionsBuilder::default().repo(repository).tag(tag).build();
    docker.tag_image(image, Some(options)).await
}
