//! The parts of a platform as its roles start them, in one process.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use domain::build::{BuildJob, BuiltImage, OneOff, ProcessResult};
use domain::crashes::Crash;
use domain::deployment::{Workload, WorkloadId};
use domain::pods::{Pod, PodSelection};
use domain::routing::{AppRouting, RouteTable, RouterReport};
use domain::sbom::Inventory;
use domain::stacks::StackName;
use domain::terminal::TerminalSize;
use domain::{AppName, Digest, Image};
use engine::{
    Engine, EngineError, ImageError, Images, JobError, Jobs, Outcome, PodCommand, RegistryCredentials,
    ResolvedImage, Routes, Session, SourceStream, Terminals,
};
use engine_kubernetes::{
    KubernetesEngine, KubernetesImages, KubernetesJobs, KubernetesRoutes, KubernetesSettings,
};
use futures_util::Stream;
use kube::Client;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use crate::node_logs::NodeLogs;

/// Longest wait for the first route table.
const TABLE_MAX: Duration = Duration::from_secs(10);

#[derive(Clone)]
pub struct Platform {
    engine: KubernetesEngine,
    jobs: KubernetesJobs,
    images: KubernetesImages,
    routes: KubernetesRoutes,
    pub logs: Arc<NodeLogs>,
}

impl Platform {
    pub async fn start(client: Client, settings: KubernetesSettings) -> Self {
        let owner = format!("process-{:016x}", rand::random::<u64>());
        let routes = KubernetesRoutes::start(client.clone(), Arc::new(settings.clone()));
        let platform = Self {
            engine: KubernetesEngine::start(client.clone(), settings.clone()),
            jobs: KubernetesJobs::new(client.clone(), settings.clone(), owner),
            images: KubernetesImages::new(settings.registry.clone()),
            routes,
            logs: Arc::new(NodeLogs::new(client, settings.namespace_prefix)),
        };
        let mut tables = platform.routes.watch();
        let first = timeout(TABLE_MAX, tables.wait_for(|table| table.version > 0)).await;
        assert!(first.is_ok(), "no routes after {} s", TABLE_MAX.as_secs());
        platform
    }
}

#[async_trait]
impl Engine for Platform {
    async fn apply(&self, workload: &Workload) -> Result<(), EngineError> {
        self.engine.apply(workload).await
    }

    async fn outcome(&self, id: &WorkloadId, release: u64) -> Result<Outcome, EngineError> {
        self.engine.outcome(id, release).await
    }

    async fn remove(&self, id: &WorkloadId) -> Result<(), EngineError> {
        self.engine.remove(id).await
    }

    async fn remove_app(&self, app: &AppName) -> Result<(), EngineError> {
        self.engine.remove_app(app).await
    }

    async fn wanted(&self) -> Result<Vec<Workload>, EngineError> {
        self.engine.wanted().await
    }

    async fn wanted_of(&self, app: &AppName) -> Result<Vec<Workload>, EngineError> {
        self.engine.wanted_of(app).await
    }

    async fn name_refusal(&self, app: &AppName) -> Result<Option<String>, EngineError> {
        self.engine.name_refusal(app).await
    }

    async fn pods(&self, app: &AppName) -> Result<Vec<Pod>, EngineError> {
        self.engine.pods(app).await
    }

    async fn restart(&self, app: &AppName, selection: &PodSelection) -> Result<Vec<Pod>, EngineError> {
        self.engine.restart(app, selection).await
    }

    fn crashes(&self) -> Pin<Box<dyn Stream<Item = Crash> + Send>> {
        self.engine.crashes()
    }

    async fn route(&self, routing: &AppRouting) -> Result<(), EngineError> {
        self.engine.route(routing).await
    }

    async fn has_node_with(&self, tags: &BTreeMap<String, String>) -> Result<bool, EngineError> {
        self.engine.has_node_with(tags).await
    }
}

impl Routes for Platform {
    fn watch(&self) -> watch::Receiver<Arc<RouteTable>> {
        self.routes.watch()
    }

    fn report(&self, report: RouterReport) {
        self.routes.report(report);
    }
}

#[async_trait]
impl Jobs for Platform {
    async fn build(
        &self,
        job: &BuildJob,
        source: SourceStream,
        output: mpsc::Sender<Bytes>,
    ) -> Result<BuiltImage, JobError> {
        self.jobs.build(job, source, output).await
    }

    async fn rebase(&self, app: &AppName, image: &Image, stack: &StackName) -> Result<Image, JobError> {
        self.jobs.rebase(app, image, stack).await
    }

    async fn run(&self, run: &OneOff) -> Result<ProcessResult, JobError> {
        self.jobs.run(run).await
    }
}

impl Terminals for Platform {
    fn open(&self, run: OneOff, terminal: Option<TerminalSize>) -> Session {
        self.jobs.open(run, terminal)
    }

    fn open_inside(&self, inside: PodCommand, terminal: Option<TerminalSize>) -> Session {
        self.jobs.open_inside(inside, terminal)
    }
}

#[async_trait]
impl Images for Platform {
    async fn resolve(
        &self,
        reference: &str,
        credentials: Option<&RegistryCredentials>,
    ) -> Result<ResolvedImage, ImageError> {
        self.images.resolve(reference, credentials).await
    }

    async fn keep(&self, app: &AppName, image: &Image) -> Result<(), ImageError> {
        self.images.keep(app, image).await
    }

    async fn remove(&self, app: &AppName, image: &Image) -> Result<(), ImageError> {
        self.images.remove(app, image).await
    }

    async fn stored(&self, apps: &[AppName]) -> Result<BTreeSet<(AppName, Digest)>, ImageError> {
        self.images.stored(apps).await
    }

    async fn packages(&self, app: &AppName, image: &Image) -> Result<Inventory, ImageError> {
        self.images.packages(app, image).await
    }
}
