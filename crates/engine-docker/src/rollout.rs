//! One pass over an app: compares its desired state with the observed one, acts, and returns the time of the next
//! pass.
//!
//! It does not depend on events. Everything it needs to continue after a restart is in the state file and in
//! Docker.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use domain::ProcessType;
use domain::deployment::{BATCH_DEFAULT, Workload};
use domain::routing::{Backend, RouteOwner};
use futures_util::future::join_all;
use tokio_util::task::AbortOnDropHandle;

use super::container::{self, StartError};
use super::desired_states::AppDesiredState;
use super::health::HealthWatch;
use super::plan::{ReplicaPlan, plan};
use super::replicas::{Replica, observe};
use super::retire::retire;
use super::tasks::{AppHandle, AppState};
use super::{Inner, crashes, removal};
use engine::EngineError;
use engine::rollout::desired_state::DesiredState;
use engine::rollout::judge::RolloutState;
use engine::route::route;

/// Interval of passes over an app without an event.
const PASS_EVERY: Duration = Duration::from_secs(30);
/// While a rollout is under way its deadline is near.
const PASS_EVERY_IN_ROLLOUT: Duration = Duration::from_secs(1);

/// State that is kept from one pass to the next.
pub struct Rollout {
    inner: Arc<Inner>,
    app: Arc<AppHandle>,
    /// By the key of the run.
    watches: BTreeMap<String, AbortOnDropHandle<()>>,
}

impl Rollout {
    pub fn new(inner: Arc<Inner>, app: Arc<AppHandle>) -> Self {
        Self { inner, app, watches: BTreeMap::new() }
    }

    /// Makes one pass and returns the time of the next.
    pub async fn reconcile(&mut self) -> Result<Duration, EngineError> {
        self.observe().await?;
        crashes::report(&self.inner, &self.app);
        self.watch();
        self.refuse().await?;
        let plans = self.plans();
        let retired: BTreeSet<_> = plans.values().flat_map(|plan| plan.retire.iter().cloned()).collect();
        let serving = self.app.state().serving.clone();
        self.app.state().retiring.extend(retired.iter().cloned());
        let version = self.publish();
        self.retire(&retired, &serving, version);
        self.create(&plans).await?;
        let done = self.judge().await?;
        self.record(&done).await?;
        if self.app.state().desired.is_removed {
            removal::finish(&self.inner, &self.app).await?;
        }
        Ok(self.wait())
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

    /// Desired workloads whose rollout is under way.
    fn under_way(&self) -> Vec<Workload> {
        let state = self.app.state();
        state.desired.workloads.values().filter_map(DesiredState::under_way).cloned().collect()
    }

    /// Gives up what this node may not run.
    async fn refuse(&self) -> Result<(), EngineError> {
        for workload in self.under_way() {
            if let Some(reason) = self.inner.no_node(&workload) {
                self.give_up(&workload, reason).await?;
            }
        }
        Ok(())
    }

    /// Gives up the rollouts that fail and returns the workloads that are carried out.
    async fn judge(&self) -> Result<Vec<Workload>, EngineError> {
        let mut done = Vec::new();
        for workload in self.under_way() {
            let (judged, miss) = {
                let state = self.app.state();
                let judged = state.judge(&workload);
                let miss = match &judged {
                    RolloutState::Fails(failure) => state.miss(failure),
                    _ => None,
                };
                (judged, miss)
            };
            match judged {
                RolloutState::Wait(_) => {}
                RolloutState::Done => done.push(workload),
                RolloutState::Fails(failure) => {
                    let reason = self.inner.explain(&workload, &failure, miss).await;
                    self.give_up(&workload, reason).await?;
                }
            }
        }
        Ok(done)
    }

    async fn give_up(&self, workload: &Workload, reason: String) -> Result<(), EngineError> {
        tracing::info!(workload = %workload.id, release = workload.release, "gave up a rollout");
        let give_up = |desired: &mut AppDesiredState| {
            if let Some(desired) = desired.workloads.get_mut(&workload.id.process) {
                desired.give_up(workload, reason);
            }
        };
        self.app.change(&self.inner, give_up).await
    }

    /// The next steps; none for what was given up.
    fn plans(&self) -> BTreeMap<ProcessType, ReplicaPlan> {
        let state = self.app.state();
        let running = state.replicas.iter().map(|replica| &replica.process);
        let processes: BTreeSet<_> = state.desired.workloads.keys().chain(running).cloned().collect();
        let planned = processes.into_iter().filter_map(|process| {
            let desired = state.desired.workloads.get(&process);
            if desired.is_some_and(DesiredState::is_given_up) {
                return None;
            }
            let workload = desired.and_then(|desired| desired.wanted.as_ref());
            let batch = workload.map_or(BATCH_DEFAULT, |workload| workload.batch);
            let wanted = state.count_wanted(&process);
            let plan = plan(wanted as usize, batch as usize, &state.observed(&process));
            Some((process, plan))
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
            let workload = desired?.of_spec_or_wanted(&replica.spec)?;
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
                    self.give_up(&workload, reason).await?;
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
    async fn record(&self, done: &[Workload]) -> Result<(), EngineError> {
        let (ready, crashes) = {
            let state = self.app.state();
            (state.ready().map(|replica| replica.key.clone()).collect(), state.crashes.clone())
        };
        let edit = |desired: &mut AppDesiredState| {
            desired.ready = ready;
            desired.crashes = crashes;
            for workload in done {
                if let Some(desired) = desired.workloads.get_mut(&workload.id.process) {
                    desired.settle(workload);
                }
            }
        };
        self.app.change(&self.inner, edit).await
    }
}
