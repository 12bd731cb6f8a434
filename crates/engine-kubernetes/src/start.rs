//! Starts the engine: its watches find the desired states of an earlier process, and their tasks continue.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::AppName;
use kube::Client;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::namespaces::Spaces;
use super::tasks::Tasks;
use super::{Inner, KubernetesEngine, KubernetesImages, KubernetesSettings, triggers};
use engine::rollout::crashes::CrashSender;

/// Workloads that are reconciled at the same time: a platform with a thousand apps must not ask the API
/// server about all of them at once.
const PASSES_MAX: usize = 16;

impl KubernetesEngine {
    /// As the controller has it. Kubernetes need not answer yet.
    pub fn start(client: Client, settings: KubernetesSettings) -> Self {
        let stop = CancellationToken::new();
        let settings = Arc::new(settings);
        let inner = Arc::new(Inner {
            images: KubernetesImages::new(settings.registry.clone()),
            spaces: Spaces::new(client.clone(), Arc::clone(&settings)),
            client,
            settings,
            tasks: Tasks::default(),
            passes: Semaphore::new(PASSES_MAX),
            prepared: Mutex::default(),
            seen: Mutex::default(),
            crashes: CrashSender::default(),
            stop: stop.clone(),
        });
        triggers::begin(&inner);
        Self { inner, _stop: Arc::new(stop.drop_guard()) }
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
