//! Restarts pods without losing a request: each goes once its successor serves.

use std::collections::BTreeSet;

use domain::pods::Pod;

use super::Inner;
use super::tasks::{AppHandle, AppState};
use engine::EngineError;
use engine::rollout::restart::time_max;

impl Inner {
    /// Condemns the pods and waits until each is replaced or the time is up; then the old ones stay.
    pub(super) async fn replace(&self, app: &AppHandle, pods: &[Pod]) -> Result<(), EngineError> {
        let (ids, bound) = {
            let state = app.state();
            let chosen = state.replicas.iter().filter(|r| pods.iter().any(|pod| pod.name == r.name));
            let ids: BTreeSet<_> = chosen.map(|replica| replica.id.clone()).collect();
            let wanted = state.desired.workloads.values().filter_map(|desired| desired.wanted.as_ref());
            let bound = time_max(wanted, ids.len());
            (ids, bound)
        };
        app.state().condemned.extend(ids.iter().cloned());
        app.wake();
        let is_replaced = |state: &AppState| {
            let stays = |id: &String| {
                state.replicas.iter().any(|replica| replica.id == *id && !state.is_retiring(replica))
            };
            (!ids.iter().any(stays)).then_some(Ok(()))
        };
        let replaced = self.within(bound, app, &format!("restart {}", app.name), is_replaced).await;
        app.state().condemned.retain(|id| !ids.contains(id));
        app.wake();
        replaced
    }
}
