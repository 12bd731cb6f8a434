//! TEMPORARY
use async_trait::async_trait;
use bytes::Bytes;
use domain::build::{BuildJob, BuiltImage, Finished, OneOff};
use engine::{JobError, Jobs, Source};
pub struct KubernetesJobs;
impl KubernetesJobs {
    pub fn new<A, B>(_: A, _: B) -> Self {
        Self
    }
}
#[async_trait]
impl Jobs for KubernetesJobs {
    async fn build(
        &self,
        _: &BuildJob,
        _: Source,
        _: tokio::sync::mpsc::Sender<Bytes>,
    ) -> Result<BuiltImage, JobError> {
        Err(JobError::Refused { reason: "no builds yet".to_owned() })
    }
    async fn run(&self, _: &OneOff) -> Result<Finished, JobError> {
        Err(JobError::Refused { reason: "no runs yet".to_owned() })
    }
}
