//! What is wanted of one process type, and what became of the newest wish: the same rules on every engine
//! that keeps wishes itself.

use domain::deployment::Workload;
use serde::{Deserialize, Serialize};

use crate::Outcome;
use crate::replica::spec_hash;

/// Wishes for one workload.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Wish {
    /// What should run; `None` when nothing ever did and the first wish was given up.
    pub wanted: Option<Workload>,
    /// The last wish that was carried out, which a failed one falls back to.
    pub serving: Option<Workload>,
    /// Whether the newest wish has ended.
    pub is_settled: bool,
    /// The newest wish, if it was given up.
    pub failed: Option<Failure>,
}

/// A wish that was given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub release: u64,
    pub reason: String,
}

impl Wish {
    /// Takes a wish; one that is under way or was carried out changes nothing, one that failed is tried
    /// again.
    pub fn ask(&mut self, workload: &Workload) {
        if self.wanted.as_ref() == Some(workload) && self.failed.is_none() {
            return;
        }
        self.wanted = Some(workload.clone());
        self.is_settled = false;
        self.failed = None;
    }

    /// The wish was carried out.
    pub fn settle(&mut self) {
        self.serving = self.wanted.clone();
        self.is_settled = true;
    }

    /// The wish cannot be carried out: what served before is wanted again.
    pub fn give_up(&mut self, reason: String) {
        if let Some(wanted) = &self.wanted {
            self.failed = Some(Failure { release: wanted.release, reason });
        }
        self.wanted = self.serving.clone();
        self.is_settled = true;
    }

    /// How the newest wish for this release ended; `None` while it has not.
    pub fn outcome(&self, release: u64) -> Option<Outcome> {
        if let Some(failure) = self.failed.as_ref().filter(|failure| failure.release == release) {
            return Some(Outcome::Failed { reason: failure.reason.clone() });
        }
        match &self.wanted {
            Some(wanted) if wanted.release == release => self.is_settled.then_some(Outcome::Running),
            _ => Some(Outcome::Superseded),
        }
    }

    /// What a replica with this hash was made from, as far as it is still known.
    pub fn of_spec(&self, hash: &str) -> Option<&Workload> {
        self.wanted.iter().chain(&self.serving).find(|workload| spec_hash(workload) == hash)
    }

    pub fn replicas(&self) -> u32 {
        self.wanted.as_ref().map_or(0, |wanted| wanted.replicas.at_least())
    }
}
