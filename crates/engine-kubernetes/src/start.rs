//! Starts the engine: its watches find the desired states of an earlier process, and their tasks continue.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use domain::AppName;
use domain::routing::RouteOwner;
use kube::Client;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::namespaces::Spaces;
use super::tasks::Tasks;
use super::{
    Inner, KubernetesEngine, KubernetesImages, KubernetesJobs, KubernetesRoutes, KubernetesSettings, triggers,
};
use engine::lines::LineHub;
use engine::rollout::crashes::CrashSender;
use engine::{EngineError, Routes as _};

/// Workloads that are reconciled at the same time: a platform with a thousand apps must not ask the API
/// server about all of them at once.
const PASSES_MAX: usize = 16;
/// Longest wait for the first table, and for a table without an app that was removed.
const TABLE_MAX: Duration = Duration::from_secs(10);

impl KubernetesEngine {
    /// As the controller has it. Kubernetes need not answer yet.
    pub fn start(client: Client, settings: KubernetesSettings) -> Self {
        let stop = CancellationToken::new();
        let settings = Arc::new(settings);
        let inner = Arc::new(Inner {
            images: KubernetesImages::new(settings.registry.clone()),
            jobs: KubernetesJobs::new(client.clone(), (*settings).clone(), owner()),
            spaces: Spaces::new(client.clone(), Arc::clone(&settings)),
            client,
            settings,
            tasks: Tasks::default(),
            passes: Semaphore::new(PASSES_MAX),
            prepared: Mutex::default(),
            seen: Mutex::default(),
            lines: LineHub::default(),
            crashes: CrashSender::default(),
            stop: stop.clone(),
        });
        triggers::begin(&inner);
        Self { inner, routes: Arc::new(OnceLock::new()), _stop: Arc::new(stop.drop_guard()) }
    }

    /// As one process has it that is everything: with the route table from the start.
    pub async fn start_whole(client: Client, settings: KubernetesSettings) -> Result<Self, EngineError> {
        let engine = Self::start(client, settings);
        if engine.routes().ready(TABLE_MAX).await {
            return Ok(engine);
        }
        let source = format!("no routes after {} s", TABLE_MAX.as_secs()).into();
        Err(EngineError::Unreachable { what: "start with Kubernetes".to_owned(), source })
    }

    /// The routes, watched from the first time on that someone asks for them.
    pub(super) fn routes(&self) -> &KubernetesRoutes {
        let start = || KubernetesRoutes::start(self.inner.client.clone(), Arc::clone(&self.inner.settings));
        self.routes.get_or_init(start)
    }

    /// Waits until the routes of this process, if it has any, no longer have the app.
    pub(super) async fn until_unrouted(&self, app: &AppName) {
        let Some(routes) = self.routes.get() else { return };
        let owner = RouteOwner::App(app.clone());
        let mut tables = routes.watch();
        let gone = tables.wait_for(|table| table.routes.iter().all(|route| route.owner != owner));
        let _ = timeout(TABLE_MAX, gone).await;
    }
}

impl Inner {
    /// Apps whose namespace this process has made.
    pub(super) fn prepared(&self) -> MutexGuard<'_, BTreeSet<AppName>> {
        self.prepared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Apps whose namespace this process has looked into.
    pub(super) fn seen(&self) -> MutexGuard<'_, BTreeSet<AppName>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a task until it ends or the engine is dropped.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        let stop = self.stop.clone();
        tokio::spawn(async move {
            stop.run_until_cancelled(task).await;
        })
    }
}

/// Jobs of a whole engine belong to this process, which may run in no pod.
fn owner() -> String {
    format!("process-{:016x}", rand::random::<u64>())
}
