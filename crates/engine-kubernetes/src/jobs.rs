//! Jobs in a cluster: builds and one-off processes.
//!
//! Each is a pod that is watched to its end and removed whatever happens: by the job itself, by a guard when
//! its future is dropped, by Kubernetes at its deadline, and by the next process when this one died.

mod build;
mod build_job;
mod build_pod;
mod caches;
mod failure;
mod guard;
mod one_off;
mod one_off_pod;
mod orphans;
mod output;
mod rebase;
mod sessions;
mod source;
mod stack;
mod state;
mod step_output;
mod watching;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use domain::build::{BuildJob, BuiltImage, OneOff, ProcessResult};
use domain::stacks::StackName;
use domain::{AppName, Image};
use kube::Client;
use tokio::sync::{Mutex, mpsc};

use super::KubernetesSettings;
use super::namespaces::Spaces;
use engine::job::{REBASE_SECONDS_MAX, within};
use engine::{EngineError, JobError, Jobs, SourceStream};
use oci::Transport;

/// Label of everything that belongs to a job: `build` or `run`.
const JOB_LABEL: &str = "deis.io/job";
/// Annotation: the pod of the platform that started the job.
const OWNER_ANNOTATION: &str = "deis.io/started-by";

/// Jobs of a cluster; clones are handles to the same.
#[derive(Clone)]
pub struct KubernetesJobs {
    client: Client,
    settings: Arc<KubernetesSettings>,
    spaces: Spaces,
    /// Name of the pod that this process runs in.
    owner: String,
    transport: Transport,
    /// Locations of the stacks' images that are known.
    stacks: Arc<Mutex<stack::KnownImages>>,
    caches: Arc<caches::SharedCaches>,
}

impl KubernetesJobs {
    /// `owner` is the name of the pod that this process runs in: jobs of pods that are gone are orphans.
    pub fn new(client: Client, settings: KubernetesSettings, owner: String) -> Self {
        let settings = Arc::new(settings);
        Self {
            spaces: Spaces::new(client.clone(), Arc::clone(&settings)),
            client,
            settings,
            owner,
            transport: Transport::new(),
            stacks: Arc::default(),
            caches: Arc::default(),
        }
    }

    /// Removes builds whose process has died. Call it once at the start of a builder.
    pub async fn remove_orphaned_builds(&self) -> Result<(), EngineError> {
        orphans::remove_builds(self).await
    }

    /// Removes one-off pods of apps that nobody waits for any more. Call it once at the start of a controller.
    pub async fn remove_orphaned_runs(&self) -> Result<(), EngineError> {
        orphans::remove_runs(self).await
    }
}

#[async_trait]
impl Jobs for KubernetesJobs {
    async fn build(
        &self,
        job: &BuildJob,
        source: SourceStream,
        output: mpsc::Sender<Bytes>,
    ) -> Result<BuiltImage, JobError> {
        within(job.deadline_seconds, build::build(self, job, source, &output)).await
    }

    async fn rebase(&self, app: &AppName, image: &Image, stack: &StackName) -> Result<Image, JobError> {
        within(REBASE_SECONDS_MAX, rebase::rebase(self, app, image, stack)).await
    }

    async fn run(&self, run: &OneOff) -> Result<ProcessResult, JobError> {
        within(run.deadline_seconds, one_off::run(self, run)).await
    }
}
