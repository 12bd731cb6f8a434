//! The observed state of a workload, as the rules of `engine::rollout` see it.

use std::time::{Duration, Instant};

use domain::deployment::Workload;
use k8s_openapi::api::apps::v1::Deployment;

use super::replicas::Replica;
use engine::rollout::judge::{
    FailureReason, ObservedReplica, ReplicaFailure, RolloutState, StartTimes, is_whole, judge,
};

/// Pause while Kubernetes has not seen what was applied.
const UNNOTICED: Duration = Duration::from_secs(1);

/// A workload as it is.
#[derive(Debug, Clone, Default)]
pub struct ObservedState {
    /// Kubernetes has seen what was applied last.
    pub is_noticed: bool,
    /// Replicas that there should be.
    pub wanted: usize,
    /// Those that have been ready for long enough.
    pub available: usize,
    /// Reason why no pod can be created.
    pub refusal: Option<String>,
    pub replicas: Vec<ObservedReplica>,
}

impl ObservedState {
    /// The state of a Deployment whose pods are to have this hash.
    pub fn new(deployment: &Deployment, pods: &[Replica], spec: &str) -> Self {
        let status = deployment.status.clone().unwrap_or_default();
        let count = |number: Option<i32>| usize::try_from(number.unwrap_or(0)).unwrap_or(0);
        let conditions = status.conditions.unwrap_or_default();
        let refusal = conditions.iter().find(|it| it.type_ == "ReplicaFailure" && it.status == "True");
        let alive = pods.iter().filter(|pod| pod.is_leaving || !pod.has_ended);
        Self {
            is_noticed: status.observed_generation >= deployment.metadata.generation,
            wanted: count(deployment.spec.as_ref().and_then(|spec| spec.replicas)),
            available: count(status.available_replicas),
            refusal: refusal.map(|it| it.message.clone().unwrap_or_default()),
            replicas: alive.map(|pod| pod.observed(spec)).collect(),
        }
    }

    /// Returns true if the wanted pods are ready besides those that a restart detached.
    pub fn is_whole(&self) -> bool {
        let attached = self.replicas.iter().filter(|replica| !replica.is_condemned);
        self.is_noticed && is_whole(self.wanted, attached)
    }

    /// Judges the rollout of `workload`.
    pub fn judge(&self, workload: &Workload, times: &StartTimes, now: Instant) -> RolloutState {
        if !self.is_noticed {
            return RolloutState::Wait(UNNOTICED);
        }
        let judged = judge(workload, self.wanted, &self.replicas, times, now);
        match (&self.refusal, judged) {
            (_, RolloutState::Done) if self.available < self.wanted => {
                RolloutState::Wait(Duration::from_secs(workload.start_timeout_seconds.into()))
            }
            // Pods that leave may make room.
            (Some(refusal), RolloutState::Wait(_)) if self.replicas.iter().all(ObservedReplica::stays) => {
                let process = &workload.id.process;
                let told = format!("Kubernetes makes no pod for {process}: {refusal}");
                RolloutState::Fails(ReplicaFailure { replica: None, why: FailureReason::Reason(told) })
            }
            (_, judged) => judged,
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::crashes::Exit;
    use engine::rollout::judge::Stage;

    use super::*;

    fn workload() -> Workload {
        let json = r#"{"id":{"app":"blog","process":"web"},"release":2,
            "image":{"kind":"external","reference":"a","digest":"sha256:0000000000000000000000000000000000000000000000000000000000000000"},
            "env":{},"port":8000,"replicas":{"fixed":2},"limits":{},"tags":{},"probes":{},"hooks":{},
            "grace_seconds":5,"start_timeout_seconds":20}"#;
        serde_json::from_str(json).expect("a workload")
    }

    /// So many new pods that are ready, and so many old ones that leave.
    fn observed(ready: usize, leaving: usize) -> ObservedState {
        let replica = |is_current: bool| ObservedReplica {
            id: "blog-web-7d5f4-aaaaa".to_owned(),
            is_current,
            is_condemned: false,
            is_leaving: !is_current,
            is_ready: is_current,
            crashes: 0,
            last_exit: Exit::default(),
            stage: Stage::Running,
        };
        let replicas = (0..ready + leaving).map(|number| replica(number < ready)).collect();
        ObservedState { is_noticed: true, wanted: 2, available: ready, refusal: None, replicas }
    }

    fn judged(observed: &ObservedState) -> RolloutState {
        observed.judge(&workload(), &StartTimes::default(), Instant::now())
    }

    #[test]
    fn a_rollout_is_done_when_kubernetes_has_seen_it_and_its_pods_were_ready_for_long_enough() {
        assert_eq!(judged(&observed(2, 0)), RolloutState::Done);
        let unseen = ObservedState { is_noticed: false, ..observed(2, 0) };
        assert!(matches!(judged(&unseen), RolloutState::Wait(_)));
        let unsteady = ObservedState { available: 1, ..observed(2, 0) };
        assert!(matches!(judged(&unsteady), RolloutState::Wait(_)));
    }

    #[test]
    fn a_quota_fails_a_rollout_unless_pods_that_leave_make_room() {
        let full = |ready, leaving| ObservedState {
            refusal: Some("exceeded quota".to_owned()),
            ..observed(ready, leaving)
        };

        assert!(matches!(judged(&full(1, 0)), RolloutState::Fails(_)));
        assert!(matches!(judged(&full(1, 1)), RolloutState::Wait(_)));
    }
}
