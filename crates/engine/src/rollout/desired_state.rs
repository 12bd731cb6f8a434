//! Desired state of one process type, and the outcome of the newest one: the same rules on every engine that keeps
//! it itself.

use domain::deployment::Workload;
use serde::{Deserialize, Serialize};

use crate::Outcome;
use crate::rollout::replica::spec_hash;

/// The desired state of one workload, and how far it was carried out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DesiredState {
    /// Desired workload; `None` when none ever ran and the first one was given up.
    pub wanted: Option<Workload>,
    /// The last desired state that was carried out, which a failed one falls back to.
    pub serving: Option<Workload>,
    /// True if the newest desired state has an outcome.
    pub is_settled: bool,
    /// The newest desired state, if it was given up.
    pub failed: Option<RolloutFailure>,
}

/// A desired state that was given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolloutFailure {
    pub release: u64,
    pub reason: String,
}

impl DesiredState {
    /// Records a new desired state; one that is under way or was reached changes nothing, one that failed is tried
    /// again.
    pub fn ask(&mut self, workload: &Workload) {
        if self.wanted.as_ref() == Some(workload) && self.failed.is_none() {
            return;
        }
        self.wanted = Some(workload.clone());
        self.is_settled = false;
        self.failed = None;
    }

    /// The desired state was carried out.
    pub fn settle(&mut self) {
        self.serving = self.wanted.clone();
        self.is_settled = true;
    }

    /// The desired state cannot be carried out: what served before is wanted again.
    pub fn give_up(&mut self, reason: String) {
        if let Some(wanted) = &self.wanted {
            self.failed = Some(RolloutFailure { release: wanted.release, reason });
        }
        self.wanted = self.serving.clone();
        self.is_settled = true;
    }

    /// Outcome of the newest desired state for this release; `None` while there is none.
    pub fn outcome(&self, release: u64) -> Option<Outcome> {
        if let Some(failure) = self.failed.as_ref().filter(|failure| failure.release == release) {
            return Some(Outcome::Failed { reason: failure.reason.clone() });
        }
        match &self.wanted {
            Some(wanted) if wanted.release == release => self.is_settled.then_some(Outcome::Running),
            _ => Some(Outcome::Superseded),
        }
    }

    /// Workload that a replica with this hash was made from, as far as it is still known.
    pub fn of_spec(&self, hash: &str) -> Option<&Workload> {
        self.wanted.iter().chain(&self.serving).find(|workload| spec_hash(workload) == hash)
    }

    /// Wanted replicas, for an autoscaled workload at least so many; 0 where nothing is wanted.
    pub fn replicas(&self) -> u32 {
        self.wanted.as_ref().map_or(0, |wanted| wanted.replicas.at_least())
    }
}
