//! An engine in memory, for tests of the engine's users.
//!
//! Rollouts settle before `apply` returns, unless a test lets them hang or fail. It keeps the promises of the
//! traits that can be kept without processes, and records its calls.

mod apps;
mod images;
mod jobs;
mod knobs;
mod log_recorder;
mod routes;
mod sessions;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::build::{BuildJob, BuiltImage, OneOff, ProcessResult};
use domain::deployment::{Workload, WorkloadId};
use domain::pods::Pod;
use domain::routing::{AppRouting, RouteTable, RouterReport};
use domain::sbom::Inventory;
use domain::{AppName, Digest, Image};
use tokio::sync::watch;

use crate::rollout::crashes::CrashSender;
use crate::rollout::desired_state::DesiredState;
use crate::{EngineError, PodCommand, ResolvedImage};

pub use log_recorder::LogRecorder;

/// Apps answer at `<app>.localhost`.
const PLATFORM_DOMAIN: &str = "localhost";

/// The engine; clones are handles to the same one.
#[derive(Clone)]
pub struct FakeEngine {
    inner: Arc<Inner>,
}

struct Inner {
    state: Mutex<FakeState>,
    /// Incremented by each change, for callers that wait for an outcome.
    changed: watch::Sender<u64>,
    table: watch::Sender<Arc<RouteTable>>,
    crashes: CrashSender,
}

#[derive(Default)]
struct FakeState {
    apps: BTreeMap<WorkloadId, FakeWorkload>,
    routing: BTreeMap<AppName, AppRouting>,
    known_images: BTreeMap<String, ResolvedImage>,
    denied_images: BTreeSet<String>,
    kept_images: BTreeSet<(AppName, String)>,
    inventories: BTreeMap<Digest, Inventory>,
    node_labels: BTreeMap<String, String>,
    /// Reasons of the rollouts to fail, oldest first.
    failures: BTreeMap<AppName, VecDeque<String>>,
    hanging: BTreeSet<AppName>,
    is_unreachable: bool,
    build_results: VecDeque<CannedBuild>,
    /// Image of a slug on newer images of its stack.
    rebased_digest: Option<Digest>,
    run_results: VecDeque<ProcessResult>,
    pods_made: u64,
    calls: RecordedCalls,
}

/// Calls of the engine since it was made, in order.
#[derive(Debug, Clone, Default)]
pub struct RecordedCalls {
    pub applied: Vec<Workload>,
    pub removed: Vec<WorkloadId>,
    pub removed_apps: Vec<AppName>,
    pub routed: Vec<AppRouting>,
    /// Each build with the archive that came with it.
    pub builds: Vec<(BuildJob, Vec<u8>)>,
    pub runs: Vec<OneOff>,
    /// Commands that were run inside pods.
    pub inside: Vec<PodCommand>,
    /// Sessions that their clients have ended.
    pub hung_up: usize,
    pub kept: Vec<(AppName, Image)>,
    pub removed_images: Vec<(AppName, Image)>,
    /// Images whose packages were listed.
    pub scanned: Vec<Digest>,
    pub reports: Vec<RouterReport>,
}

/// Output and end of a build.
#[derive(Debug, Clone)]
pub struct CannedBuild {
    pub output: String,
    /// The image, or the exit code of a build that fails.
    pub result: Result<BuiltImage, i64>,
}

/// One process type: its desired and its observed state.
#[derive(Default)]
struct FakeWorkload {
    desired: DesiredState,
    pods: Vec<Pod>,
}

impl Default for FakeEngine {
    fn default() -> Self {
        let inner = Inner {
            state: Mutex::default(),
            changed: watch::Sender::new(0),
            table: watch::Sender::new(Arc::default()),
            crashes: CrashSender::default(),
        };
        Self { inner: Arc::new(inner) }
    }
}

impl FakeEngine {
    /// A new engine without workloads, images and nodes' labels.
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, FakeState> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, unless a test has taken the engine away.
    fn reachable(&self, what: &str) -> Result<MutexGuard<'_, FakeState>, EngineError> {
        let state = self.state();
        if state.is_unreachable {
            let source = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
            return Err(EngineError::Unreachable { what: what.to_owned(), source: Box::new(source) });
        }
        Ok(state)
    }

    /// Wakes all waiting callers after a change of the state.
    fn publish(&self, state: MutexGuard<'_, FakeState>) {
        let routes: Vec<_> = routes::routes(&state).into_iter().map(Arc::new).collect();
        drop(state);
        self.inner.table.send_if_modified(|table| {
            let is_new = table.routes != routes;
            if is_new {
                *table = Arc::new(RouteTable { version: table.version + 1, routes, ..(**table).clone() });
            }
            is_new
        });
        self.inner.changed.send_modify(|count| *count += 1);
    }
}
