//! The task of one app: compares desired with observed state, acts, and repeats.
//!
//! It does not depend on events. Everything it needs to continue after a restart is in the state file and in
//! Docker.

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

use super::container::{self, StartError};
use super::desired_states::AppDesiredState;
use super::health::HealthWatch;
use super::plan::{self, ReplicaPlan, plan};
use super::replicas::{Replica, observe};
use super::retire::retire;
use super::tasks::{AppHandle, AppState};
use super::{Inner, crashes, explain, removal};
use engine::EngineError;
use engine::rollout::desired_state::DesiredState;
use engine::rollout::replica::spec_hash;
use engine::route::route;

/// Interval of passes over an app without an event.
const PASS_EVERY: Duration = Duration::from_secs(30);
/// While a rollout is under way its deadline is near.
const PASS_EVERY_IN_ROLLOUT: Duration = Duration::from_secs(1);
/// Bounds of the pause after a failure.
const PAUSE_MIN: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// Runs passes until the app is gone.
pub async fn run(inner: Arc<Inner>, app: Arc<AppHandle>) {
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
    app: Arc<AppHandle>,
    /// By the key of the run.
    watches: BTreeMap<String, AbortOnDropHandle<()>>,
}

impl Task {
    async fn pass(&mut self) -> Result<(), EngineError> {
        self.observe().await?;
        crashes::report(&self.inner, &self.app);
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
        if self.app.state().desired.is_removed {
            removal::finish(&self.inner, &self.app).await?;
        }
        Ok(())
    }

    fn wait(&self) -> Duration {
        let state = self.app.state();
        let is_settled = state.desired.workloads.values().all(|desired| desired.is_settled);
        let is_quiet = is_settled && !state.desired.is_removed && !state.ends.has_unjudged();
        if is_quiet { PASS_EVERY } else { PASS_EVERY_IN_ROLLOUT }
    }

    async fn observe(&self) -> Result<(), EngineError> {
        match observe(&self.inner, &self.app.name).await {
            Ok(replicas) => {
                self.app.state().observe(replicas);
                self.app.publish();
                Ok(())
            }
            Err(error) => {
                self.app.state().note_away();
                self.app.publish();
                Err(self.inner.failed("list containers", error))
            }
        }
    }

    /// One watch for each run of a replica whose making is known.
    fn watch(&mut self) {
        let state = self.app.state();
        self.watches.retain(|key, _| state.replicas.iter().any(|r| r.key == *key && r.is_running()));
        for replica in state.replicas.iter().filter(|replica| replica.is_running()) {
            let workload = state
                .desired
                .workloads
                .get(&replica.process)
                .and_then(|desired| desired.of_spec(&replica.spec));
            let Some(workload) = workload.filter(|_| !self.watches.contains_key(&replica.key)) else {
                continue;
            };
            let watch = HealthWatch {
                inner: Arc::clone(&self.inner),
                app: Arc::clone(&self.app),
                replica: replica.clone(),
                workload: workload.clone(),
                is_trusted: state.desired.ready.contains(&replica.key),
            };
            self.watches.insert(replica.key.clone(), AbortOnDropHandle::new(tokio::spawn(watch.run())));
        }
        drop(state);
        self.trust();
    }

    /// Replicas that were ready when the last process ended are ready now, before any check is made.
    fn trust(&self) {
        let mut state = self.app.state();
        let AppState { desired, replicas, health, .. } = &mut *state;
        for replica in replicas.iter().filter(|replica| desired.ready.contains(&replica.key)) {
            if !health.contains_key(&replica.key) {
                health.entry(replica.key.clone()).or_default().is_ready = true;
            }
        }
    }

    /// Ends desired states that cannot be carried out.
    async fn give_up(&self) -> Result<(), EngineError> {
        let failing = explain::failing(&self.inner, &self.app.state());
        for failing in failing {
            let (workload, reason) = explain::explain(&self.inner, failing).await;
            tracing::info!(workload = %workload.id, release = workload.release, "gave up a rollout");
            self.fail(&workload, reason).await?;
        }
        Ok(())
    }

    /// Only the desired state that failed; one that came in between has a chance of its own.
    async fn fail(&self, failed: &Workload, reason: String) -> Result<(), EngineError> {
        let edit = |desired: &mut AppDesiredState| {
            if let Some(desired) = desired.workloads.get_mut(&failed.id.process)
                && desired.wanted.as_ref() == Some(failed)
                && !desired.is_settled
            {
                desired.give_up(reason);
            }
        };
        self.app.change(&self.inner, edit).await
    }

    fn plans(&self) -> BTreeMap<ProcessType, ReplicaPlan> {
        let state = self.app.state();
        let running = state.replicas.iter().map(|replica| &replica.process);
        let processes: BTreeSet<_> = state.desired.workloads.keys().chain(running).cloned().collect();
        let planned = processes.into_iter().map(|process| {
            let (wanted, replicas) = comparison(&state, &process);
            let workload = state.desired.workloads.get(&process).and_then(|desired| desired.wanted.as_ref());
            let batch = workload.map_or(BATCH_DEFAULT, |workload| workload.batch);
            (process, plan(wanted, batch as usize, &replicas))
        });
        planned.collect()
    }

    /// Puts the app's route into the table; returns a version that shows it.
    fn publish(&self) -> u64 {
        let mut state = self.app.state();
        let settings = &self.inner.settings;
        let route =
            state.desired.routing.as_ref().filter(|_| !state.desired.is_removed).and_then(|routing| {
                let wanted = |process: &ProcessType| {
                    state.desired.workloads.get(process).map_or(0, DesiredState::replicas)
                };
                let replicas = |process: &ProcessType| (wanted(process), self.backends(&state, process));
                let rules = settings.app_rules.get(&routing.app).cloned().unwrap_or_default();
                route(routing, &settings.platform_domain, rules, replicas)
            });
        // Also those that requests have just stopped going to: they may still be answering some.
        let listening = state.desired.workloads.keys().flat_map(|process| self.backends(&state, process));
        state.serving = listening.map(|backend| backend.key).collect();
        let version = self.inner.routes.set(RouteOwner::App(self.app.name.clone()), route);
        state.passes += 1;
        drop(state);
        self.app.publish();
        version
    }

    fn backends(&self, state: &AppState, process: &ProcessType) -> Vec<Backend> {
        let desired = state.desired.workloads.get(process);
        let ready = state.ready().filter(|replica| replica.process == *process);
        let backend = |replica: &Replica| {
            let workload = desired?.of_spec(&replica.spec).or(desired?.wanted.as_ref())?;
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

    async fn create(&self, plans: &BTreeMap<ProcessType, ReplicaPlan>) -> Result<(), EngineError> {
        let wanted: Vec<(Workload, usize, bool)> = {
            let state = self.app.state();
            let desired_states =
                plans.iter().filter(|(_, plan)| plan.create > 0).filter_map(|(process, plan)| {
                    let desired = state.desired.workloads.get(process)?;
                    Some((desired.wanted.clone()?, plan.create, desired.is_settled))
                });
            desired_states.collect()
        };
        for (workload, count, is_settled) in wanted {
            let starts = (0..count).map(|_| container::start(&self.inner, &workload));
            let failed = join_all(starts).await.into_iter().find_map(Result::err);
            match failed {
                None => self.app.wake(),
                Some(StartError::Workload(reason)) if !is_settled => {
                    self.fail(&workload, reason).await?;
                }
                Some(StartError::Workload(reason)) => {
                    return Err(EngineError::Refused { what: format!("run {}", workload.id), reason });
                }
                Some(StartError::Engine(error)) => return Err(error),
            }
        }
        Ok(())
    }

    /// Writes down what was reached: which replicas are ready, which desired states are carried out.
    async fn record(&self) -> Result<(), EngineError> {
        let (ready, crashes, done) = {
            let state = self.app.state();
            let ready: BTreeSet<_> = state.ready().map(|replica| replica.key.clone()).collect();
            let pending = state.desired.workloads.iter().filter(|(_, desired)| !desired.is_settled);
            let done = pending.filter(|(process, desired)| is_done(&state, process, desired.wanted.as_ref()));
            let done: Vec<_> =
                done.map(|(process, desired)| (process.clone(), desired.wanted.clone())).collect();
            (ready, state.crashes.clone(), done)
        };
        let edit = |desired: &mut AppDesiredState| {
            desired.ready = ready;
            desired.crashes = crashes;
            for (process, wanted) in done {
                if let Some(desired) =
                    desired.workloads.get_mut(&process).filter(|desired| desired.wanted == wanted)
                {
                    desired.settle();
                }
            }
        };
        self.app.change(&self.inner, edit).await
    }
}

/// Number of wanted replicas of a process, and its replicas that are not being retired.
fn comparison(state: &AppState, process: &ProcessType) -> (usize, Vec<plan::PlannedReplica>) {
    let desired = state.desired.workloads.get(process).filter(|_| !state.desired.is_removed);
    let spec = desired.and_then(|desired| desired.wanted.as_ref()).map(spec_hash);
    let staying = state.replicas.iter().filter(|r| r.process == *process && !state.is_retiring(r));
    let replicas = staying.map(|replica| plan::PlannedReplica {
        id: replica.id.clone(),
        is_current: Some(&replica.spec) == spec.as_ref()
            && !state.condemned.contains(&replica.id)
            && replica.is_attached
            && can_run_again(replica),
        is_ready: state.is_ready(replica),
    });
    (state.count_wanted(process) as usize, replicas.collect())
}

/// Docker restarts its containers itself, but not those that a person stopped. One that was created but not
/// started was left by a process that died in between: this one creates and starts in the same step.
fn can_run_again(replica: &Replica) -> bool {
    !matches!(replica.status, Status::CREATED | Status::EXITED | Status::DEAD | Status::REMOVING)
}

/// A rollout ends when its replicas serve and the old ones are being retired; a change of scale only when surplus
/// ones are gone.
fn is_done(state: &AppState, process: &ProcessType, wanted: Option<&Workload>) -> bool {
    let (count, replicas) = comparison(state, process);
    let spec = wanted.map(spec_hash);
    let leaves = |replica: &Replica| {
        replica.process == *process && Some(&replica.spec) == spec.as_ref() && state.is_retiring(replica)
    };
    plan::is_done(count, &replicas) && !state.replicas.iter().any(leaves)
}
