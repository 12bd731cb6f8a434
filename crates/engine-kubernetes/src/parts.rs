//! The whole engine in one process: jobs and images are those of the parts.

use std::collections::BTreeSet;

use async_trait::async_trait;
use bytes::Bytes;
use domain::build::{BuildJob, BuiltImage, OneOff, ProcessResult};
use domain::terminal::TerminalSize;
use domain::{AppName, Digest, Image};
use tokio::sync::mpsc;

use super::KubernetesEngine;
use engine::{
    ImageError, Images, JobError, Jobs, PodCommand, RegistryCredentials, ResolvedImage, Session,
    SourceStream, Terminals,
};

#[async_trait]
impl Jobs for KubernetesEngine {
    async fn build(
        &self,
        job: &BuildJob,
        source: SourceStream,
        output: mpsc::Sender<Bytes>,
    ) -> Result<BuiltImage, JobError> {
        self.inner.jobs.build(job, source, output).await
    }

    async fn run(&self, run: &OneOff) -> Result<ProcessResult, JobError> {
        self.inner.jobs.run(run).await
    }
}

impl Terminals for KubernetesEngine {
    fn open(&self, run: OneOff, terminal: Option<TerminalSize>) -> Session {
        self.inner.jobs.open(run, terminal)
    }

    fn open_inside(&self, inside: PodCommand, terminal: Option<TerminalSize>) -> Session {
        self.inner.jobs.open_inside(inside, terminal)
    }
}

#[async_trait]
impl Images for KubernetesEngine {
    async fn resolve(
        &self,
        reference: &str,
        credentials: Option<&RegistryCredentials>,
    ) -> Result<ResolvedImage, ImageError> {
        self.inner.images.resolve(reference, credentials).await
    }

    async fn keep(&self, app: &AppName, image: &Image) -> Result<(), ImageError> {
        self.inner.images.keep(app, image).await
    }

    async fn remove(&self, app: &AppName, image: &Image) -> Result<(), ImageError> {
        self.inner.images.remove(app, image).await
    }

    async fn stored(&self, apps: &[AppName]) -> Result<BTreeSet<(AppName, Digest)>, ImageError> {
        self.inner.images.stored(apps).await
    }
}
