//! One task for each app: reconciles, and sleeps until something has happened to it. Its handle has the app's desired
//! state, on disk and in memory, and the observed state of its replicas.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use domain::crashes::Crashes;
use domain::{AppName, ProcessType};
use tokio::sync::{Notify, watch};
use tokio::time::sleep;

use super::Inner;
use super::autoscale::{self, ScaleState};
use super::crashes::ContainerEnds;
use super::desired_states::AppDesiredState;
use super::health::Health;
use super::replicas::Replica;
use super::rollout::Rollout;
use engine::EngineError;
use engine::rollout::back_off;
use engine::rollout::judge::StartTimes;

/// Shortest pause after a failure, whatever wakes the task.
const PAUSE_MIN: Duration = Duration::from_millis(250);

/// The app, shared by its task, its watches and the calls about it.
pub struct AppHandle {
    pub name: AppName,
    /// Orders the writes of the state file.
    writing: tokio::sync::Mutex<()>,
    state: Mutex<AppState>,
    wake: Notify,
    /// Bumped by each change of desired state or state.
    changed: watch::Sender<u64>,
}

/// Known state of the app.
#[derive(Default)]
pub struct AppState {
    pub desired: AppDesiredState,
    /// As Docker had them last, oldest first.
    pub replicas: Vec<Replica>,
    pub start_times: StartTimes,
    /// By the key of the run.
    pub health: BTreeMap<String, Health>,
    /// Exits of containers, from events.
    pub ends: ContainerEnds,
    /// Crashes by container.
    pub crashes: BTreeMap<String, Crashes>,
    /// Numbers of replicas that follow the load.
    pub scaled: BTreeMap<ProcessType, ScaleState>,
    /// Containers to be replaced although they match the desired state.
    pub condemned: BTreeSet<String>,
    /// Containers that are being retired.
    pub retiring: BTreeSet<String>,
    /// Keys of the replicas that the newest route table has as backends, or may have had before.
    pub serving: BTreeSet<String>,
    /// Since when Docker has not answered, and when it was asked last.
    pub away: Option<Outage>,
    /// Number of passes over the app, each of which published its route.
    pub passes: u64,
    /// Everything is removed; this handle is dead.
    pub is_gone: bool,
}

/// A time without answers.
#[derive(Debug, Clone, Copy)]
pub struct Outage {
    pub since: Instant,
    pub last: Instant,
}

/// Runs passes until the app is gone.
pub async fn run(inner: Arc<Inner>, app: Arc<AppHandle>) {
    let mut rollout = Rollout::new(inner, Arc::clone(&app));
    let mut back_off = back_off::RECONCILE;
    loop {
        let wait = match rollout.reconcile().await {
            Ok(wait) => {
                back_off.reset();
                wait
            }
            Err(error) => {
                tracing::warn!(app = %app.name, error = &error as &dyn std::error::Error, "will try again");
                // Not even a daemon that comes back is asked more often than this.
                sleep(PAUSE_MIN).await;
                back_off.pause()
            }
        };
        if app.state().is_gone {
            return;
        }
        tokio::select! {
            () = app.woken() => {}
            () = sleep(wait) => {}
        }
    }
}

impl AppHandle {
    pub fn new(name: AppName, desired: AppDesiredState) -> Arc<Self> {
        Arc::new(Self {
            name,
            writing: tokio::sync::Mutex::default(),
            state: Mutex::new(AppState { crashes: desired.crashes.clone(), desired, ..AppState::default() }),
            wake: Notify::new(),
            changed: watch::Sender::new(0),
        })
    }

    pub fn state(&self) -> MutexGuard<'_, AppState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the app's task.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    pub async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Wakes the tasks that wait for a condition.
    pub fn publish(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    /// Changes the desired state; returns once it is on disk.
    pub async fn change(
        &self,
        inner: &Inner,
        edit: impl FnOnce(&mut AppDesiredState),
    ) -> Result<(), EngineError> {
        let _writing = self.writing.lock().await;
        let mut desired = {
            let state = self.state();
            if state.is_gone {
                return Err(self.removed());
            }
            state.desired.clone()
        };
        edit(&mut desired);
        if desired != self.state().desired {
            let (folder, name, copy) = (inner.folder.clone(), self.name.clone(), desired.clone());
            let saved = tokio::task::spawn_blocking(move || folder.save(&name, &copy)).await;
            saved.map_err(|error| self.refused(&error.to_string()))??;
            self.state().desired = desired;
            self.wake();
            self.publish();
        }
        Ok(())
    }

    /// Forgets the app; later changes are refused.
    pub async fn forget(&self, inner: &Inner) -> Result<(), EngineError> {
        let _writing = self.writing.lock().await;
        let (folder, name) = (inner.folder.clone(), self.name.clone());
        let deleted = tokio::task::spawn_blocking(move || folder.delete(&name)).await;
        deleted.map_err(|error| self.refused(&error.to_string()))??;
        self.state().is_gone = true;
        inner.apps().retain(|_, app| !std::ptr::eq(Arc::as_ptr(app), self));
        self.publish();
        Ok(())
    }

    /// Waits until `answer` finds one in the state; asked again after each change.
    pub async fn wait<T>(&self, mut answer: impl FnMut(&AppState) -> Option<T>) -> T {
        let mut changed = self.changed.subscribe();
        loop {
            if let Some(found) = answer(&self.state()) {
                return found;
            }
            changed.changed().await.expect("the sender is in self");
        }
    }

    pub fn note_health(&self, key: &str, change: impl FnOnce(&mut Health)) {
        let is_important = {
            let mut state = self.state();
            let health = state.health.entry(key.to_owned()).or_default();
            let before = (health.is_ready, health.failure.is_some());
            change(health);
            before != (health.is_ready, health.failure.is_some())
        };
        if is_important {
            self.wake();
        }
    }

    fn removed(&self) -> EngineError {
        self.refused("it was just removed; try again")
    }

    fn refused(&self, reason: &str) -> EngineError {
        EngineError::Refused { what: format!("change {}", self.name), reason: reason.to_owned() }
    }
}

impl AppState {
    pub fn is_ready(&self, replica: &Replica) -> bool {
        replica.is_running() && self.health.get(&replica.key).is_some_and(|health| health.is_ready)
    }

    /// Number of replicas of a process that should run now.
    pub fn count_wanted(&self, process: &ProcessType) -> u32 {
        let desired = self.desired.workloads.get(process).filter(|_| !self.desired.is_removed);
        let Some(wanted) = desired.and_then(|desired| desired.wanted.as_ref()) else { return 0 };
        let scaled = self.scaled.get(process).map(|scaled| scaled.replicas);
        let by_load = autoscale::rule(wanted.replicas).map(|rule| rule.clamp(scaled.unwrap_or(rule.min)));
        by_load.unwrap_or_else(|| wanted.replicas.at_least())
    }

    /// Replicas that are ready and not being retired.
    pub fn ready(&self) -> impl Iterator<Item = &Replica> {
        self.replicas.iter().filter(|replica| self.is_ready(replica) && !self.is_retiring(replica))
    }

    pub fn is_retiring(&self, replica: &Replica) -> bool {
        self.retiring.contains(&replica.id)
    }

    /// Docker did not answer.
    pub fn note_away(&mut self) {
        let last = Instant::now();
        let since = self.away.map_or(last, |away| away.since);
        self.away = Some(Outage { since, last });
    }

    /// Replaces what was observed and drops what was known about containers that are gone.
    pub fn observe(&mut self, replicas: Vec<Replica>) {
        self.replicas = replicas;
        let Self { replicas, health, ends, crashes, condemned, retiring, .. } = self;
        let has = |id: &String| replicas.iter().any(|replica| replica.id == *id);
        health.retain(|key, _| replicas.iter().any(|replica| replica.key == *key));
        ends.retain(has);
        crashes.retain(|id, _| has(id));
        condemned.retain(has);
        retiring.retain(has);
        self.away = None;
        self.note_start_times();
        autoscale::begin(self);
    }
}
