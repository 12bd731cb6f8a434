//! The whole engine in one process: jobs and images are those of the parts.

use async_trait::async_trait;
use domain::{AppName, Image};

use super::KubernetesEngine;
use crate::{ImageError, Images, RegistryCredentials, ResolvedImage};

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
}

// Until the branch with the jobs is merged.
#[async_trait]
impl crate::Jobs for KubernetesEngine {
    async fn build(
        &self,
        _: &domain::build::BuildJob,
        _: crate::Source,
        _: tokio::sync::mpsc::Sender<bytes::Bytes>,
    ) -> Result<domain::build::BuiltImage, crate::JobError> {
        Err(crate::JobError::Refused { reason: "no builds yet".to_owned() })
    }

    async fn run(&self, _: &domain::build::OneOff) -> Result<domain::build::Finished, crate::JobError> {
        Err(crate::JobError::Refused { reason: "no jobs yet".to_owned() })
    }
}
