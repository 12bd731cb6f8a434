//! One app: what is wanted of it, on disk and in memory, and what is known about its replicas.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use domain::{AppName, ProcessType};
use tokio::sync::{Notify, watch};

use super::Inner;
use super::autoscale::{self, Scaled};
use super::health::Health;
use super::replicas::Replica;
use super::state::AppWish;
use crate::EngineError;
use crate::failure_text::Exit;

/// The app, shared by its task, its watches and the calls about it.
pub struct App {
    pub name: AppName,
    /// Orders the writes of the state file.
    writing: tokio::sync::Mutex<()>,
    state: Mutex<State>,
    wake: Notify,
    /// Bumped by each change of wish or state.
    changed: watch::Sender<u64>,
}

/// What is known about the app now.
#[derive(Default)]
pub struct State {
    pub wish: AppWish,
    /// As Docker had them last, oldest first.
    pub replicas: Vec<Replica>,
    /// When this process saw each container first: time to start runs from then, so that a rollout does
    /// not fail because the platform was away.
    pub seen: BTreeMap<String, Instant>,
    /// By the key of the run.
    pub health: BTreeMap<String, Health>,
    /// Last exits by container.
    pub exits: BTreeMap<String, Exit>,
    /// Numbers of replicas that follow the load.
    pub scaled: BTreeMap<ProcessType, Scaled>,
    /// Containers to be replaced though they are what is wanted.
    pub condemned: BTreeSet<String>,
    /// Containers on their way out.
    pub retiring: BTreeSet<String>,
    /// Keys of the replicas that the newest route table has as backends, or may have had before.
    pub serving: BTreeSet<String>,
    /// Since when Docker has not answered, and when it was asked last.
    pub away: Option<Away>,
    /// How many times the app was looked at and its route made.
    pub passes: u64,
    /// Everything is removed; this handle is dead.
    pub is_gone: bool,
}

/// A time without answers.
#[derive(Debug, Clone, Copy)]
pub struct Away {
    pub since: Instant,
    pub last: Instant,
}

impl App {
    pub fn new(name: AppName, wish: AppWish) -> Arc<Self> {
        Arc::new(Self {
            name,
            writing: tokio::sync::Mutex::default(),
            state: Mutex::new(State { wish, ..State::default() }),
            wake: Notify::new(),
            changed: watch::Sender::new(0),
        })
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the app's task look again.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    pub async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Tells those who wait that something may have become true.
    pub fn tell(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    /// Changes what is wanted; returns once that is on disk.
    pub async fn change(&self, inner: &Inner, edit: impl FnOnce(&mut AppWish)) -> Result<(), EngineError> {
        let _writing = self.writing.lock().await;
        let mut wish = {
            let state = self.state();
            if state.is_gone {
                return Err(self.removed());
            }
            state.wish.clone()
        };
        edit(&mut wish);
        if wish != self.state().wish {
            let (folder, name, copy) = (inner.folder.clone(), self.name.clone(), wish.clone());
            let saved = tokio::task::spawn_blocking(move || folder.save(&name, &copy)).await;
            saved.map_err(|error| self.refused(&error.to_string()))??;
            self.state().wish = wish;
            self.wake();
            self.tell();
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
        self.tell();
        Ok(())
    }

    /// Waits until `answer` finds one in the state; asked again after each change.
    pub async fn wait<T>(&self, mut answer: impl FnMut(&State) -> Option<T>) -> T {
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

impl State {
    pub fn is_ready(&self, replica: &Replica) -> bool {
        replica.is_running() && self.health.get(&replica.key).is_some_and(|health| health.is_ready)
    }

    /// How many replicas of a process should run now.
    pub fn count_wanted(&self, process: &ProcessType) -> u32 {
        let wish = self.wish.workloads.get(process).filter(|_| !self.wish.is_removed);
        let Some(wanted) = wish.and_then(|wish| wish.wanted.as_ref()) else { return 0 };
        let scaled = self.scaled.get(process).map(|scaled| scaled.replicas);
        let by_load = autoscale::rule(wanted.replicas).map(|rule| rule.clamp(scaled.unwrap_or(rule.min)));
        by_load.unwrap_or_else(|| wanted.replicas.at_least())
    }

    /// Replicas that are ready and not on their way out.
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
        self.away = Some(Away { since, last });
    }

    /// Replaces what was observed and drops what was known about containers that are gone.
    pub fn observe(&mut self, replicas: Vec<Replica>) {
        self.replicas = replicas;
        let Self { replicas, seen, health, exits, condemned, retiring, .. } = self;
        let has = |id: &String| replicas.iter().any(|replica| replica.id == *id);
        seen.retain(|id, _| has(id));
        for replica in replicas.iter() {
            seen.entry(replica.id.clone()).or_insert_with(Instant::now);
        }
        health.retain(|key, _| replicas.iter().any(|replica| replica.key == *key));
        exits.retain(|id, _| has(id));
        condemned.retain(has);
        retiring.retain(has);
        self.away = None;
        autoscale::begin(self);
    }
}
