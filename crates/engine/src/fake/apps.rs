//! Workloads in memory: desired, settled, failed.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;

use async_trait::async_trait;
use domain::AppName;
use domain::crashes::Crash;
use domain::deployment::{Workload, WorkloadId};
use domain::pods::{Pod, PodSelection, PodState};
use domain::routing::AppRouting;
use futures_util::Stream;
use jiff::Timestamp;

use super::{FakeEngine, FakeState, FakeWorkload};
use crate::rollout::replica::spec_hash;
use crate::{Engine, EngineError, Outcome};

#[async_trait]
impl Engine for FakeEngine {
    async fn apply(&self, workload: &Workload) -> Result<(), EngineError> {
        let mut state = self.reachable(&format!("apply {}", workload.id))?;
        state.calls.applied.push(workload.clone());
        state.apps.entry(workload.id.clone()).or_default().desired.ask(workload);
        state.settle(&workload.id);
        self.publish(state);
        Ok(())
    }

    async fn outcome(&self, id: &WorkloadId, release: u64) -> Result<Outcome, EngineError> {
        let mut changed = self.inner.changed.subscribe();
        loop {
            if let Some(outcome) = self.reachable(&format!("watch {id}"))?.outcome(id, release) {
                return Ok(outcome);
            }
            changed.changed().await.expect("the sender is in self");
        }
    }

    async fn remove(&self, id: &WorkloadId) -> Result<(), EngineError> {
        let mut state = self.reachable(&format!("remove {id}"))?;
        state.calls.removed.push(id.clone());
        state.apps.remove(id);
        self.publish(state);
        Ok(())
    }

    async fn remove_app(&self, app: &AppName) -> Result<(), EngineError> {
        let mut state = self.reachable(&format!("remove {app}"))?;
        state.calls.removed_apps.push(app.clone());
        state.apps.retain(|id, _| id.app != *app);
        state.kept_images.retain(|(owner, _)| owner != app);
        state.routing.remove(app);
        self.publish(state);
        Ok(())
    }

    async fn wanted(&self) -> Result<Vec<Workload>, EngineError> {
        let state = self.reachable("list workloads")?;
        Ok(state.apps.values().filter_map(|workload| workload.desired.wanted.clone()).collect())
    }

    async fn pods(&self, app: &AppName) -> Result<Vec<Pod>, EngineError> {
        Ok(self.reachable(&format!("list the pods of {app}"))?.pods(app))
    }

    async fn restart(&self, app: &AppName, selection: &PodSelection) -> Result<Vec<Pod>, EngineError> {
        let mut state = self.reachable(&format!("restart {app}"))?;
        let old: Vec<_> = state.pods(app).into_iter().filter(|pod| selection.selects(pod)).collect();
        let successors = old.iter().map(|pod| state.replace(pod)).collect();
        self.publish(state);
        Ok(successors)
    }

    fn crashes(&self) -> Pin<Box<dyn Stream<Item = Crash> + Send>> {
        self.inner.crashes.read()
    }

    async fn route(&self, routing: &AppRouting) -> Result<(), EngineError> {
        let mut state = self.reachable(&format!("route {}", routing.app))?;
        state.calls.routed.push(routing.clone());
        state.routing.insert(routing.app.clone(), routing.clone());
        self.publish(state);
        Ok(())
    }

    async fn has_node_with(&self, tags: &BTreeMap<String, String>) -> Result<bool, EngineError> {
        let state = self.reachable("look for a node")?;
        Ok(tags.iter().all(|(name, value)| state.node_labels.get(name) == Some(value)))
    }
}

impl FakeState {
    /// Ends the rollout of a workload that has one, unless the test lets it hang.
    pub(super) fn settle(&mut self, id: &WorkloadId) {
        let Some(workload) = self.apps.get_mut(id) else { return };
        let Some(desired) = workload.desired.under_way().filter(|_| !self.hanging.contains(&id.app)).cloned()
        else {
            return;
        };
        match self.failures.get_mut(&id.app).and_then(VecDeque::pop_front) {
            Some(reason) => workload.desired.give_up(&desired, reason),
            None => workload.desired.settle(&desired),
        }
        self.run(id);
    }

    /// Makes the pods match the workload that is to serve; pods of the same workload stay.
    fn run(&mut self, id: &WorkloadId) {
        let Some(workload) = self.apps.get_mut(id) else { return };
        let Some(serving) = workload.desired.serving.clone() else { return };
        let prefix = format!("{id}-{}-", spec_hash(&serving));
        let count = serving.replicas.at_least() as usize;
        workload.pods.retain(|pod| pod.name.starts_with(&prefix));
        workload.pods.truncate(count);
        for _ in workload.pods.len()..count {
            let pod = new_pod(&serving, &mut self.pods_made);
            workload.pods.push(pod);
        }
    }

    fn replace(&mut self, old: &Pod) -> Pod {
        let id = WorkloadId { app: old.app.clone(), process: old.process.clone() };
        let FakeWorkload { desired, pods } = self.apps.entry(id).or_default();
        let serving = desired.serving.as_ref().expect("a pod runs only what serves");
        let successor = new_pod(serving, &mut self.pods_made);
        pods.iter_mut().filter(|pod| pod.name == old.name).for_each(|pod| *pod = successor.clone());
        successor
    }

    fn pods(&self, app: &AppName) -> Vec<Pod> {
        let workloads = self.apps.iter().filter(|(id, _)| id.app == *app);
        workloads.flat_map(|(_, workload)| workload.pods.clone()).collect()
    }

    fn outcome(&self, id: &WorkloadId, release: u64) -> Option<Outcome> {
        let workload = self.apps.get(id);
        workload.map_or(Some(Outcome::Superseded), |workload| workload.desired.outcome(release))
    }
}

fn new_pod(workload: &Workload, made: &mut u64) -> Pod {
    *made += 1;
    Pod {
        name: format!("{}-{}-{made:05}", workload.id, spec_hash(workload)),
        app: workload.id.app.clone(),
        process: workload.id.process.clone(),
        release: workload.release,
        state: PodState::Up,
        started: Some(Timestamp::now()),
        crashes: None,
    }
}
