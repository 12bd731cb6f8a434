//! The observed state of an app's processes, as the rules of `engine::rollout` see it.

use std::time::Instant;

use bollard::models::ContainerStateStatusEnum as Status;
use domain::ProcessType;
use domain::crashes::Exit;
use domain::deployment::Workload;

use super::replicas::Replica;
use super::tasks::AppState;
use engine::rollout::judge::{ObservedReplica, RolloutState, Stage, judge};
use engine::rollout::replica::spec_hash;

impl AppState {
    /// Replicas of a process, oldest first.
    pub fn observed(&self, process: &ProcessType) -> Vec<ObservedReplica> {
        let desired = self.desired.workloads.get(process).filter(|_| !self.desired.is_removed);
        let spec = desired.and_then(|desired| desired.wanted.as_ref()).map(spec_hash);
        let replicas = self.replicas.iter().filter(|replica| replica.process == *process);
        replicas.map(|replica| self.observed_replica(replica, spec.as_deref())).collect()
    }

    /// Judges a rollout that is under way.
    pub fn judge(&self, workload: &Workload) -> RolloutState {
        let process = &workload.id.process;
        let wanted = self.count_wanted(process) as usize;
        judge(workload, wanted, &self.observed(process), &self.start_times, Instant::now())
    }

    /// Notes which replicas are there, and which of them have started.
    pub fn note_start_times(&mut self) {
        let observed: Vec<_> =
            self.replicas.iter().map(|replica| self.observed_replica(replica, None)).collect();
        self.start_times.note(&observed, Instant::now());
    }

    fn observed_replica(&self, replica: &Replica, spec: Option<&str>) -> ObservedReplica {
        let seen = Exit { code: replica.exit_code, is_out_of_memory: replica.is_out_of_memory };
        ObservedReplica {
            id: replica.id.clone(),
            is_current: Some(replica.spec.as_str()) == spec,
            is_condemned: self.condemned.contains(&replica.id)
                || !replica.is_attached
                || !can_run_again(replica),
            is_leaving: self.is_retiring(replica),
            is_ready: self.is_ready(replica),
            crashes: u64::try_from(replica.restarts).unwrap_or(0),
            last_exit: self.ends.last(&replica.id).unwrap_or(seen),
            stage: self.stage(replica),
        }
    }

    fn stage(&self, replica: &Replica) -> Stage {
        let failure = self.health.get(&replica.key).and_then(|health| health.failure.as_ref());
        match (failure, replica.status) {
            (Some(failure), _) => Stage::HookFailed(failure.clone()),
            (None, Status::RESTARTING) => Stage::Crashed,
            (None, _) => Stage::Running,
        }
    }
}

/// Docker restarts its containers itself, but not those that a person stopped. One that was created but not
/// started was left by a process that died in between: this one creates and starts in the same step.
fn can_run_again(replica: &Replica) -> bool {
    !matches!(replica.status, Status::CREATED | Status::EXITED | Status::DEAD | Status::REMOVING)
}
