//! An engine that stands in front of the one in memory and fails: it stops the world at a given
//! call, or refuses what carries the variable `BAD`.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use domain::AppName;
use domain::crashes::Crash;
use domain::deployment::{Workload, WorkloadId};
use domain::pods::{Pod, PodSelection};
use domain::routing::AppRouting;
use engine::fake::FakeEngine;
use engine::{Engine, EngineError, Outcome};
use futures_util::Stream;
use tokio::sync::Notify;

/// Point at which the world stops: before the call with this number does anything, or after it did everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopPoint {
    Before(usize),
    After(usize),
    Never,
}

pub struct StandIn {
    fake: FakeEngine,
    stop: StopPoint,
    calls: AtomicUsize,
    /// Told when the world has stopped.
    pub stopped: Arc<Notify>,
}

impl StandIn {
    pub fn new(fake: FakeEngine, stop: StopPoint) -> Self {
        Self { fake, stop, calls: AtomicUsize::new(0), stopped: Arc::default() }
    }

    async fn call<T>(&self, call: impl Future<Output = Result<T, EngineError>>) -> Result<T, EngineError> {
        let number = self.calls.fetch_add(1, Ordering::SeqCst);
        if self.stop == StopPoint::Before(number) {
            self.stop_the_world().await;
        }
        let answer = call.await;
        if self.stop == StopPoint::After(number) {
            self.stop_the_world().await;
        }
        answer
    }

    async fn stop_the_world(&self) {
        self.stopped.notify_one();
        std::future::pending::<()>().await;
    }
}

#[async_trait]
impl Engine for StandIn {
    async fn apply(&self, workload: &Workload) -> Result<(), EngineError> {
        if workload.env.contains_key("BAD") && workload.id.process.as_str() == "worker" {
            let (what, reason) = (format!("start {}", workload.id), "it is bad".to_owned());
            return self.call(async { Err(EngineError::Refused { what, reason }) }).await;
        }
        self.call(self.fake.apply(workload)).await
    }

    async fn outcome(&self, id: &WorkloadId, release: u64) -> Result<Outcome, EngineError> {
        self.call(self.fake.outcome(id, release)).await
    }

    async fn remove(&self, id: &WorkloadId) -> Result<(), EngineError> {
        self.call(self.fake.remove(id)).await
    }

    async fn remove_app(&self, app: &AppName) -> Result<(), EngineError> {
        self.call(self.fake.remove_app(app)).await
    }

    async fn wanted(&self) -> Result<Vec<Workload>, EngineError> {
        self.call(self.fake.wanted()).await
    }

    async fn pods(&self, app: &AppName) -> Result<Vec<Pod>, EngineError> {
        self.call(self.fake.pods(app)).await
    }

    async fn restart(&self, app: &AppName, selection: &PodSelection) -> Result<Vec<Pod>, EngineError> {
        self.call(self.fake.restart(app, selection)).await
    }

    fn crashes(&self) -> Pin<Box<dyn Stream<Item = Crash> + Send>> {
        self.fake.crashes()
    }

    async fn route(&self, routing: &AppRouting) -> Result<(), EngineError> {
        self.call(self.fake.route(routing)).await
    }

    async fn has_node_with(&self, tags: &BTreeMap<String, String>) -> Result<bool, EngineError> {
        self.call(self.fake.has_node_with(tags)).await
    }
}
