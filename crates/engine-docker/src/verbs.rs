//! The verbs of the engine: each records a desired state or waits for one; the apps' tasks do the work.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use domain::AppName;
use domain::crashes::Crash;
use domain::deployment::{Workload, WorkloadId};
use domain::pods::{Pod, PodSelection};
use domain::routing::AppRouting;
use futures_util::Stream;
use tokio::time::timeout;

use super::desired_states::AppDesiredState;
use super::replicas::{Replica, observe};
use super::tasks::{AppHandle, AppState, Outage};
use super::{DockerEngine, Inner, tasks};
use engine::rollout::restart::Restart;
use engine::{Engine, EngineError, Outcome};

/// Longest wait for an unreachable daemon until the caller gets an error.
const UNREACHABLE_MAX: Duration = Duration::from_secs(10);
/// Time beyond the grace period that stopping may take: draining, and Docker's own work.
const STOP_SECONDS: u64 = 30;

#[async_trait]
impl Engine for DockerEngine {
    async fn apply(&self, workload: &Workload) -> Result<(), EngineError> {
        let ask = |desired: &mut AppDesiredState| {
            desired.workloads.entry(workload.id.process.clone()).or_default().ask(workload);
        };
        self.inner.app_to_change(&workload.id.app).await?.change(&self.inner, ask).await
    }

    async fn outcome(&self, id: &WorkloadId, release: u64) -> Result<Outcome, EngineError> {
        let Some(app) = self.inner.app(&id.app) else { return Ok(Outcome::Superseded) };
        let begun = Instant::now();
        let answer = |state: &AppState| {
            let desired = state.desired.workloads.get(&id.process);
            let outcome = desired.map_or(Some(Outcome::Superseded), |desired| desired.outcome(release));
            outcome.map(Ok).or_else(|| self.inner.away(state, begun, &format!("watch {id}")).map(Err))
        };
        app.wait(answer).await
    }

    async fn remove(&self, id: &WorkloadId) -> Result<(), EngineError> {
        let Some(app) = self.inner.app(&id.app) else { return Ok(()) };
        let bound = self.inner.stop_bound(&app);
        app.change(&self.inner, |desired| drop(desired.workloads.remove(&id.process))).await?;
        let passes = app.state().passes;
        let is_gone = |state: &AppState| {
            // The pass under way may have begun before the desired state.
            let is_looked_at = state.passes > passes + 1;
            let is_gone = state.replicas.iter().all(|replica| replica.process != id.process);
            (is_looked_at && is_gone).then_some(Ok(()))
        };
        self.inner.within(bound, &app, &format!("remove {id}"), is_gone).await
    }

    async fn remove_app(&self, app: &AppName) -> Result<(), EngineError> {
        let app = self.inner.app_or_new(app);
        let bound = self.inner.stop_bound(&app);
        let forget = |desired: &mut AppDesiredState| {
            *desired = AppDesiredState { is_removed: true, ..AppDesiredState::default() };
        };
        app.change(&self.inner, forget).await?;
        let what = format!("remove {}", app.name);
        self.inner.within(bound, &app, &what, |state| state.is_gone.then_some(Ok(()))).await
    }

    async fn wanted(&self) -> Result<Vec<Workload>, EngineError> {
        let apps: Vec<_> = self.inner.apps().values().cloned().collect();
        let wanted = apps.iter().flat_map(|app| {
            let state = app.state();
            state.desired.workloads.values().filter_map(|desired| desired.wanted.clone()).collect::<Vec<_>>()
        });
        Ok(wanted.collect())
    }

    async fn pods(&self, app: &AppName) -> Result<Vec<Pod>, EngineError> {
        let Some(known) = self.inner.app(app) else { return Ok(Vec::new()) };
        // One that goes while Docker is asked is forgotten by then, but may still be in the answer.
        let leaving = known.state().retiring.clone();
        let replicas = observe(&self.inner, app).await;
        let replicas = replicas.map_err(|error| self.inner.failed("list pods", error))?;
        let state = known.state();
        let pod = |replica: &Replica| {
            let is_retiring = state.is_retiring(replica) || leaving.contains(&replica.id);
            replica.pod(app, state.is_ready(replica), is_retiring, state.crashes.get(&replica.id).copied())
        };
        Ok(replicas.iter().map(pod).collect())
    }

    async fn restart(&self, app: &AppName, selection: &PodSelection) -> Result<Vec<Pod>, EngineError> {
        let restart = Restart::new(self.pods(app).await?, selection);
        let Some(known) = self.inner.app(app).filter(|_| !restart.chosen.is_empty()) else {
            return Ok(Vec::new());
        };
        self.inner.replace(&known, &restart.chosen).await?;
        Ok(restart.successors(self.pods(app).await?))
    }

    fn crashes(&self) -> Pin<Box<dyn Stream<Item = Crash> + Send>> {
        self.inner.crashes.read()
    }

    async fn route(&self, routing: &AppRouting) -> Result<(), EngineError> {
        let record = |desired: &mut AppDesiredState| desired.routing = Some(routing.clone());
        self.inner.app_to_change(&routing.app).await?.change(&self.inner, record).await
    }

    async fn has_node_with(&self, tags: &BTreeMap<String, String>) -> Result<bool, EngineError> {
        let labels = &self.inner.settings.node_labels;
        Ok(tags.iter().all(|(name, value)| labels.get(name) == Some(value)))
    }
}

impl Inner {
    pub(super) fn app(&self, name: &AppName) -> Option<Arc<AppHandle>> {
        self.apps().get(name).cloned()
    }

    /// The app, with its task, made when nothing was wanted of it yet.
    fn app_or_new(self: &Arc<Self>, name: &AppName) -> Arc<AppHandle> {
        let mut apps = self.apps();
        if let Some(app) = apps.get(name).filter(|app| !app.state().is_gone) {
            return Arc::clone(app);
        }
        let app = AppHandle::new(name.clone(), AppDesiredState::default());
        apps.insert(name.clone(), Arc::clone(&app));
        self.spawn(tasks::run(Arc::clone(self), Arc::clone(&app)));
        app
    }

    /// As [`Inner::app_or_new`], after a removal of the same name that is still under way.
    async fn app_to_change(self: &Arc<Self>, name: &AppName) -> Result<Arc<AppHandle>, EngineError> {
        let app = self.app_or_new(name);
        if !app.state().desired.is_removed {
            return Ok(app);
        }
        let bound = self.stop_bound(&app);
        let what = format!("remove the earlier {name}");
        self.within(bound, &app, &what, |state| state.is_gone.then_some(Ok(()))).await?;
        Ok(self.app_or_new(name))
    }

    /// Waits for a state within a time limit, which is no error: the desired state is recorded. A daemon that
    /// stays unreachable is one.
    pub(super) async fn within(
        &self,
        bound: Duration,
        app: &AppHandle,
        what: &str,
        mut answer: impl FnMut(&AppState) -> Option<Result<(), EngineError>>,
    ) -> Result<(), EngineError> {
        let begun = Instant::now();
        let answer = |state: &AppState| answer(state).or_else(|| self.away(state, begun, what).map(Err));
        timeout(bound, app.wait(answer)).await.unwrap_or(Ok(()))
    }

    /// The error of a daemon that has been away for too long and, asked again since `begun`, still is.
    fn away(&self, state: &AppState, begun: Instant, what: &str) -> Option<EngineError> {
        let is_away = |away: &Outage| away.last > begun && away.since.elapsed() > UNREACHABLE_MAX;
        let away = state.away.filter(is_away)?;
        let source = format!("no answer for {} s", away.since.elapsed().as_secs());
        Some(self.unreachable(what, source.into()))
    }

    fn stop_bound(&self, app: &AppHandle) -> Duration {
        let state = app.state();
        let grace = state.replicas.iter().map(|replica| replica.grace_seconds).max().unwrap_or(0);
        Duration::from_secs(grace.max(0).unsigned_abs() + STOP_SECONDS)
    }
}
