//! One task for each workload with a desired state: reconciles, and sleeps until something has happened to it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::deployment::WorkloadId;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout_at};

use super::Inner;
use super::rollout::{NextPass, Rollout};
use engine::rollout::back_off;

/// Events that come together are one.
const TOGETHER: Duration = Duration::from_millis(20);
/// Interval of passes over a workload without an event.
const QUIET_MAX: Duration = Duration::from_secs(600);
/// The same while a rollout is under way.
const QUIET_MAX_IN_ROLLOUT: Duration = Duration::from_secs(5);
/// Shortest pause after a failure, whatever wakes the task.
const PAUSE_MIN: Duration = Duration::from_millis(250);

/// The tasks by workload.
#[derive(Default)]
pub struct Tasks {
    running: Mutex<BTreeMap<WorkloadId, Arc<TaskHandle>>>,
}

/// Handle of a task: wakes it and reports its passes.
pub struct TaskHandle {
    wake: Notify,
    /// Number of wake-ups.
    wakes: Mutex<u64>,
    /// Bumped after each pass.
    passes: watch::Sender<u64>,
}

impl Tasks {
    fn running(&self) -> MutexGuard<'_, BTreeMap<WorkloadId, Arc<TaskHandle>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the task of a workload that has one.
    pub fn wake_known(&self, id: &WorkloadId) {
        if let Some(handle) = self.running().get(id) {
            handle.wake_up();
        }
    }
}

impl TaskHandle {
    fn new() -> Self {
        Self { wake: Notify::new(), wakes: Mutex::new(0), passes: watch::Sender::new(0) }
    }

    fn wake_up(&self) {
        *self.wakes.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.wake.notify_one();
    }

    fn wakes(&self) -> u64 {
        *self.wakes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reports each pass from now on.
    pub fn passes(&self) -> watch::Receiver<u64> {
        self.passes.subscribe()
    }
}

impl Inner {
    /// Wakes the task of a workload, which is begun if there is none.
    pub(super) fn wake(self: &Arc<Self>, id: &WorkloadId) -> Arc<TaskHandle> {
        let mut running = self.tasks.running();
        let handle = running.entry(id.clone()).or_insert_with(|| {
            let handle = Arc::new(TaskHandle::new());
            self.spawn(run(Arc::clone(self), id.clone(), Arc::clone(&handle)));
            handle
        });
        handle.wake_up();
        Arc::clone(handle)
    }
}

async fn run(inner: Arc<Inner>, id: WorkloadId, handle: Arc<TaskHandle>) {
    let mut rollout = Rollout::new(Arc::clone(&inner), id.clone());
    let mut back_off = back_off::RECONCILE;
    loop {
        let wakes = handle.wakes();
        let reconciled = {
            let _permit = inner.passes.acquire().await;
            rollout.reconcile().await
        };
        handle.passes.send_modify(|count| *count += 1);
        let wait = match reconciled {
            Ok(NextPass::Gone) => {
                if is_over(&inner, &id, &handle, wakes) {
                    return;
                }
                Duration::ZERO
            }
            Ok(NextPass::Rest) => QUIET_MAX,
            Ok(NextPass::Again) => Duration::ZERO,
            Ok(NextPass::Within(wait)) => wait.min(QUIET_MAX_IN_ROLLOUT),
            Err(error) => {
                tracing::warn!(workload = %id, error = &error as &dyn std::error::Error, "will try again");
                sleep(PAUSE_MIN).await;
                // A notification during the wait may be the answer.
                let _ = timeout_at(Instant::now() + back_off.pause(), handle.wake.notified()).await;
                continue;
            }
        };
        back_off.reset();
        let _ = timeout_at(Instant::now() + wait, handle.wake.notified()).await;
        sleep(TOGETHER).await;
    }
}

/// Ends the task, unless it was woken since its last pass.
fn is_over(inner: &Inner, id: &WorkloadId, handle: &Arc<TaskHandle>, wakes: u64) -> bool {
    let mut running = inner.tasks.running();
    let is_over = handle.wakes() == wakes;
    if is_over && running.get(id).is_some_and(|known| Arc::ptr_eq(known, handle)) {
        running.remove(id);
    }
    is_over
}
