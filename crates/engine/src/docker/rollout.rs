//! The task of one app: compares what is wanted with what runs, acts, and does so again.
//!
//! It takes no hint about what changed. All that it needs to go on after a death is in the state file and
//! in Docker.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bollard::models::ContainerStateStatusEnum as Status;
use domain::ProcessType;
use domain::deployment::{BATCH_DEFAULT, Workload};
use domain::routing::{Backend, RouteOwner};
use futures_util::future::join_all;
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

use super::app::{App, State};
use super::container::{self, StartError};
use super::health::Watch;
use super::plan::{self, Plan, plan};
use super::replicas::{Replica, observe};
use super::retire::retire;
use super::state::AppWish;
use super::{Inner, giving_up, removal};
use crate::EngineError;
use crate::replica::spec_hash;
use crate::route::route;
use crate::wish::Wish;

/// How often the app is looked at though nothing happened.
const PASS_EVERY: Duration = Duration::from_secs(30);
/// While a rollout is under way its deadline is near.
const PASS_EVERY_IN_ROLLOUT: Duration = Duration::from_secs(1);
/// Bounds of the pause after a failure.
const PAUSE_MIN: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// Runs passes until the app is gone.
pub async fn run(inner: Arc<Inner>, app: Arc<App>) {
    let mut task = Task { inner, app, watches: BTreeMap::new() };
    let mut pause = PAUSE_MIN;
    loop {
        let wait = match task.pass().await {
            Ok(()) => {
                pause = PAUSE_MIN;
                task.wait()
            }
            Err(error) => {
                tracing::warn!(app = %task.app.name, error = &error as &dyn std::error::Error, "will try again");
                pause = (pause * 2).min(PAUSE_MAX);
                // Not even a daemon that comes back is asked more often than this.
                sleep(PAUSE_MIN).await;
                pause
            }
        };
        if task.app.state().is_gone {
            return;
        }
        tokio::select! {
            () = task.app.woken() => {}
            () = sleep(wait) => {}
        }
    }
}

struct Task {
    inner: Arc<Inner>,
    app: Arc<App>,
    /// By the key of the run.
    watches: BTreeMap<String, AbortOnDropHandle<()>>,
}

impl Task {
    async fn pass(&mut self) -> Result<(), EngineError> {
        self.observe().await?;
        self.watch();
        self.give_up().await?;
        let plans = self.plans();
        let retired: BTreeSet<_> = plans.values().flat_map(|plan| plan.retire.iter().cloned()).collect();
        let serving = self.app.state().serving.clone();
        self.app.state().retiring.extend(retired.iter().cloned());
        let version = self.publish();
        self.retire(&retired, &serving, version);
        self.create(&plans).await?;
        self.record().await?;
        if self.app.state().wish.is_removed {
            removal::finish(&self.inner, &self.app).await?;
        }
        Ok(())
    }

    fn wait(&self) -> Duration {
        let state = self.app.state();
        let is_settled = state.wish.workloads.values().all(|wish| wish.is_settled);
        if is_settled && !state.wish.is_removed { PASS_EVERY } else { PASS_EVERY_IN_ROLLOUT }
    }

    async fn observe(&self) -> Result<(), EngineError> {
        match observe(&self.inner, &self.app.name).await {
            Ok(replicas) => {
                self.app.state().observe(replicas);
                self.app.tell();
                Ok(())
            }
            Err(error) => {
                self.app.state().note_away();
                self.app.tell();
                Err(self.inner.failed("list containers", error))
            }
        }
    }

    /// One watch for each run of a replica whose making is known.
    fn watch(&mut self) {
        let state = self.app.state();
        self.watches.retain(|key, _| state.replicas.iter().any(|r| r.key == *key && r.is_running()));
        for replica in state.replicas.iter().filter(|replica| replica.is_running()) {
            let workload =
                state.wish.workloads.get(&replica.process).and_then(|wish| wish.of_spec(&replica.spec));
            let Some(workload) = workload.filter(|_| !self.watches.contains_key(&replica.key)) else {
                continue;
            };
            let watch = Watch {
                inner: Arc::clone(&self.inner),
                app: Arc::clone(&self.app),
                replica: replica.clone(),
                workload: workload.clone(),
                is_trusted: state.wish.ready.contains(&replica.key),
            };
            self.watches.insert(replica.key.clone(), AbortOnDropHandle::new(tokio::spawn(watch.run())));
        }
        drop(state);
        self.trust();
    }

    /// Replicas that were ready when the last process ended are ready now, before any check is made.
    fn trust(&self) {
        let mut state = self.app.state();
        let State { wish, replicas, health, .. } = &mut *state;
        for replica in replicas.iter().filter(|replica| wish.ready.contains(&replica.key)) {
            if !health.contains_key(&replica.key) {
                health.entry(replica.key.clone()).or_default().is_ready = true;
            }
        }
    }

    /// Ends wishes that cannot be carried out.
    async fn give_up(&self) -> Result<(), EngineError> {
        let failing = giving_up::failing(&self.inner, &self.app.state());
        for failing in failing {
            let (workload, reason) = giving_up::explain(&self.inner, failing).await;
            tracing::info!(workload = %workload.id, release = workload.release, "gave up a rollout");
            self.fail(&workload, reason).await?;
        }
        Ok(())
    }

    /// Only the wish that failed; one that came in between has a chance of its own.
    async fn fail(&self, failed: &Workload, reason: String) -> Result<(), EngineError> {
        let edit = |wish: &mut AppWish| {
            if let Some(wish) = wish.workloads.get_mut(&failed.id.process)
                && wish.wanted.as_ref() == Some(failed)
                && !wish.is_settled
            {
                wish.give_up(reason);
            }
        };
        self.app.change(&self.inner, edit).await
    }

    fn plans(&self) -> BTreeMap<ProcessType, Plan> {
        let state = self.app.state();
        let running = state.replicas.iter().map(|replica| &replica.process);
        let processes: BTreeSet<_> = state.wish.workloads.keys().chain(running).cloned().collect();
        let planned = processes.into_iter().map(|process| {
            let (wanted, replicas) = comparison(&state, &process);
            let workload = state.wish.workloads.get(&process).and_then(|wish| wish.wanted.as_ref());
            let batch = workload.map_or(BATCH_DEFAULT, |workload| workload.batch);
            (process, plan(wanted, batch as usize, &replicas))
        });
        planned.collect()
    }

    /// Puts the app's route into the table; returns a version that shows it.
    fn publish(&self) -> u64 {
        let mut state = self.app.state();
        let settings = &self.inner.settings;
        let route = state.wish.routing.as_ref().filter(|_| !state.wish.is_removed).and_then(|routing| {
            let wanted = |process: &ProcessType| state.wish.workloads.get(process).map_or(0, Wish::replicas);
            let replicas = |process: &ProcessType| (wanted(process), self.backends(&state, process));
            let rules = settings.app_rules.get(&routing.app).cloned().unwrap_or_default();
            route(routing, &settings.platform_domain, rules, replicas)
        });
        // Also those that requests have just stopped going to: they may still be answering some.
        let listening = state.wish.workloads.keys().flat_map(|process| self.backends(&state, process));
        state.serving = listening.map(|backend| backend.key).collect();
        let version = self.inner.board.set(RouteOwner::App(self.app.name.clone()), route);
        state.passes += 1;
        drop(state);
        self.app.tell();
        version
    }

    fn backends(&self, state: &State, process: &ProcessType) -> Vec<Backend> {
        let wish = state.wish.workloads.get(process);
        let ready = state.ready().filter(|replica| replica.process == *process);
        let backend = |replica: &Replica| {
            let workload = wish?.of_spec(&replica.spec).or(wish?.wanted.as_ref())?;
            let address = replica.address(self.inner.reach, workload.port?)?;
            Some(Backend { key: replica.key.clone(), address, release: replica.release })
        };
        ready.filter_map(backend).collect()
    }

    fn retire(&self, ids: &BTreeSet<String>, serving: &BTreeSet<String>, version: u64) {
        let state = self.app.state();
        for replica in state.replicas.iter().filter(|replica| ids.contains(&replica.id)) {
            let version = serving.contains(&replica.key).then_some(version);
            let (inner, app) = (Arc::clone(&self.inner), Arc::clone(&self.app));
            self.inner.spawn(retire(inner, app, replica.clone(), version));
        }
    }

    async fn create(&self, plans: &BTreeMap<ProcessType, Plan>) -> Result<(), EngineError> {
        let wished: Vec<(Workload, usize, bool)> = {
            let state = self.app.state();
            let wishes = plans.iter().filter(|(_, plan)| plan.create > 0).filter_map(|(process, plan)| {
                let wish = state.wish.workloads.get(process)?;
                Some((wish.wanted.clone()?, plan.create, wish.is_settled))
            });
            wishes.collect()
        };
        for (workload, count, is_settled) in wished {
            let starts = (0..count).map(|_| container::start(&self.inner, &workload));
            let failed = join_all(starts).await.into_iter().find_map(Result::err);
            match failed {
                None => self.app.wake(),
                Some(StartError::Wish(reason)) if !is_settled => {
                    self.fail(&workload, reason).await?;
                }
                Some(StartError::Wish(reason)) => {
                    return Err(EngineError::Refused { what: format!("run {}", workload.id), reason });
                }
                Some(StartError::Engine(error)) => return Err(error),
            }
        }
        Ok(())
    }

    /// Writes down what was reached: which replicas are ready, which wishes are carried out.
    async fn record(&self) -> Result<(), EngineError> {
        let (ready, done) = {
            let state = self.app.state();
            let ready: BTreeSet<_> = state.ready().map(|replica| replica.key.clone()).collect();
            let pending = state.wish.workloads.iter().filter(|(_, wish)| !wish.is_settled);
            let done = pending.filter(|(process, wish)| is_done(&state, process, wish.wanted.as_ref()));
            let done: Vec<_> = done.map(|(process, wish)| (process.clone(), wish.wanted.clone())).collect();
            (ready, done)
        };
        let edit = |wish: &mut AppWish| {
            wish.ready = ready;
            for (process, wanted) in done {
                if let Some(wish) = wish.workloads.get_mut(&process).filter(|wish| wish.wanted == wanted) {
                    wish.settle();
                }
            }
        };
        self.app.change(&self.inner, edit).await
    }
}

/// How many replicas of a process are wanted, and those that are not on their way out.
fn comparison(state: &State, process: &ProcessType) -> (usize, Vec<plan::Replica>) {
    let wish = state.wish.workloads.get(process).filter(|_| !state.wish.is_removed);
    let spec = wish.and_then(|wish| wish.wanted.as_ref()).map(spec_hash);
    let staying = state.replicas.iter().filter(|r| r.process == *process && !state.is_retiring(r));
    let replicas = staying.map(|replica| plan::Replica {
        id: replica.id.clone(),
        is_current: Some(&replica.spec) == spec.as_ref()
            && !state.condemned.contains(&replica.id)
            && can_run_again(replica),
        is_ready: state.is_ready(replica),
    });
    (state.count_wanted(process) as usize, replicas.collect())
}

/// Docker starts its containers again by itself, but not those that someone stopped. One that was made but
/// not started is left of a process that died in between: this one starts what it makes in the same step.
fn can_run_again(replica: &Replica) -> bool {
    !matches!(replica.status, Status::CREATED | Status::EXITED | Status::DEAD | Status::REMOVING)
}

/// A rollout ends when its replicas serve and the old ones are on their way out; a change of scale only
/// when those too many are gone.
fn is_done(state: &State, process: &ProcessType, wanted: Option<&Workload>) -> bool {
    let (count, replicas) = comparison(state, process);
    let spec = wanted.map(spec_hash);
    let leaves = |replica: &Replica| {
        replica.process == *process && Some(&replica.spec) == spec.as_ref() && state.is_retiring(replica)
    };
    plan::is_done(count, &replicas) && !state.replicas.iter().any(leaves)
}
