//! One task for each workload with a wish: looks, acts, and sleeps until something has happened to it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::deployment::WorkloadId;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout_at};

use super::Inner;
use super::rollout::{Next, Rollout};

/// Events that come together are one.
const TOGETHER: Duration = Duration::from_millis(20);
/// How often a workload is looked at though nothing happened to it.
const QUIET_MAX: Duration = Duration::from_secs(600);
/// The same while a rollout is under way.
const QUIET_MAX_IN_ROLLOUT: Duration = Duration::from_secs(5);
/// Bounds of the pause after a failure.
const PAUSE_MIN: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// The tasks by workload.
#[derive(Default)]
pub struct Tasks {
    running: Mutex<BTreeMap<WorkloadId, Arc<Bell>>>,
}

/// How a task is woken, and how it tells what it did.
pub struct Bell {
    wake: Notify,
    /// How often it was rung.
    rung: Mutex<u64>,
    /// Bumped after each look.
    looked: watch::Sender<u64>,
}

impl Tasks {
    fn running(&self) -> MutexGuard<'_, BTreeMap<WorkloadId, Arc<Bell>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the task of a workload that has one.
    pub fn wake_known(&self, id: &WorkloadId) {
        if let Some(bell) = self.running().get(id) {
            bell.ring();
        }
    }
}

impl Bell {
    fn new() -> Self {
        Self { wake: Notify::new(), rung: Mutex::new(0), looked: watch::Sender::new(0) }
    }

    fn ring(&self) {
        *self.rung.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.wake.notify_one();
    }

    fn rung(&self) -> u64 {
        *self.rung.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells each look from now on.
    pub fn looks(&self) -> watch::Receiver<u64> {
        self.looked.subscribe()
    }
}

impl Inner {
    /// Wakes the task of a workload, which is begun if there is none.
    pub(super) fn wake(self: &Arc<Self>, id: &WorkloadId) -> Arc<Bell> {
        let mut running = self.tasks.running();
        let bell = running.entry(id.clone()).or_insert_with(|| {
            let bell = Arc::new(Bell::new());
            self.spawn(run(Arc::clone(self), id.clone(), Arc::clone(&bell)));
            bell
        });
        bell.ring();
        Arc::clone(bell)
    }
}

async fn run(inner: Arc<Inner>, id: WorkloadId, bell: Arc<Bell>) {
    let mut rollout = Rollout::new(Arc::clone(&inner), id.clone());
    let mut pause = PAUSE_MIN;
    loop {
        let rung = bell.rung();
        let looked = {
            let _permit = inner.looks.acquire().await;
            rollout.look().await
        };
        bell.looked.send_modify(|count| *count += 1);
        let wait = match looked {
            Ok(Next::Gone) => {
                if is_over(&inner, &id, &bell, rung) {
                    return;
                }
                Duration::ZERO
            }
            Ok(Next::Rest) => QUIET_MAX,
            Ok(Next::Again) => Duration::ZERO,
            Ok(Next::Within(wait)) => wait.min(QUIET_MAX_IN_ROLLOUT),
            Err(error) => {
                tracing::warn!(workload = %id, error = &error as &dyn std::error::Error, "will try again");
                let wait = pause;
                pause = (pause * 2).min(PAUSE_MAX);
                sleep(PAUSE_MIN).await;
                // What happens in between may be the answer.
                let _ = timeout_at(Instant::now() + wait, bell.wake.notified()).await;
                continue;
            }
        };
        pause = PAUSE_MIN;
        let _ = timeout_at(Instant::now() + wait, bell.wake.notified()).await;
        sleep(TOGETHER).await;
    }
}

/// Ends the task, unless someone has rung since it looked.
fn is_over(inner: &Inner, id: &WorkloadId, bell: &Arc<Bell>, rung: u64) -> bool {
    let mut running = inner.tasks.running();
    let is_over = bell.rung() == rung;
    if is_over && running.get(id).is_some_and(|known| Arc::ptr_eq(known, bell)) {
        running.remove(id);
    }
    is_over
}
