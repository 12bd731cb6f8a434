//! Desired state of one process type, and the outcome of the newest one.
//!
//! A desired state that cannot be carried out stays as it is, and nothing more is done for it: where to go back to is
//! decided by the controller, for all process types of the app at once.

use domain::deployment::Workload;
use serde::{Deserialize, Serialize};

use super::replica::spec_hash;
use crate::Outcome;

/// The desired state of one workload, and how far it was carried out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DesiredState {
    /// Newest desired workload. `None` only in records of an earlier version, whose engines went back themselves.
    pub wanted: Option<Workload>,
    /// The last desired workload that was carried out.
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

    /// The desired workload, while its rollout is under way.
    pub fn under_way(&self) -> Option<&Workload> {
        self.wanted.as_ref().filter(|_| !self.is_settled)
    }

    /// Returns true if the newest desired state was given up: its replicas are left as they are.
    pub fn is_given_up(&self) -> bool {
        let failed = self.failed.as_ref().map(|failure| failure.release);
        failed.is_some() && failed == self.wanted.as_ref().map(|wanted| wanted.release)
    }

    /// `workload` was carried out. One that came in between has a rollout of its own.
    pub fn settle(&mut self, workload: &Workload) {
        if self.under_way() == Some(workload) {
            self.serving = Some(workload.clone());
            self.is_settled = true;
        }
    }

    /// `workload` cannot be carried out. One that came in between has a rollout of its own.
    pub fn give_up(&mut self, workload: &Workload, reason: String) {
        if self.under_way() == Some(workload) {
            self.failed = Some(RolloutFailure { release: workload.release, reason });
            self.is_settled = true;
        }
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

    /// As [`DesiredState::of_spec`], or else the desired workload, which is mostly alike.
    pub fn of_spec_or_wanted(&self, hash: &str) -> Option<&Workload> {
        self.of_spec(hash).or(self.wanted.as_ref())
    }

    /// Wanted replicas, for an autoscaled workload at least so many; 0 where nothing is wanted.
    pub fn replicas(&self) -> u32 {
        self.wanted.as_ref().map_or(0, |wanted| wanted.replicas.at_least())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::tests::workload;

    fn release(release: u64) -> Workload {
        Workload { release, ..workload() }
    }

    /// Carried out `2`, then asked for `3`.
    fn under_way() -> DesiredState {
        let mut desired = DesiredState::default();
        desired.ask(&release(2));
        desired.settle(&release(2));
        desired.ask(&release(3));
        desired
    }

    #[test]
    fn what_was_carried_out_runs_and_what_it_replaced_is_superseded() {
        let mut desired = under_way();
        assert_eq!((desired.outcome(2), desired.outcome(3)), (Some(Outcome::Superseded), None));

        desired.settle(&release(3));

        assert_eq!((desired.outcome(3), desired.under_way()), (Some(Outcome::Running), None));
        let settled = desired.clone();
        desired.ask(&release(3));
        assert_eq!(desired, settled, "the same again changes nothing");
    }

    #[test]
    fn what_is_given_up_stays_until_the_controller_goes_back_or_tries_again() {
        let mut desired = under_way();

        desired.give_up(&release(3), "it crashed".to_owned());

        assert_eq!(desired.outcome(3), Some(Outcome::Failed { reason: "it crashed".to_owned() }));
        assert!(desired.is_given_up() && desired.under_way().is_none());
        assert_eq!((&desired.wanted, &desired.serving), (&Some(release(3)), &Some(release(2))));
        let mut again = desired.clone();
        again.ask(&release(3));
        desired.ask(&release(2));
        assert_eq!((again.under_way(), again.is_given_up()), (Some(&release(3)), false));
        assert_eq!((desired.under_way(), desired.is_given_up()), (Some(&release(2)), false));
    }

    #[test]
    fn the_end_of_an_older_rollout_is_not_that_of_a_newer_one() {
        let mut desired = under_way();
        desired.ask(&release(4));
        let before = desired.clone();

        desired.settle(&release(3));
        desired.give_up(&release(3), "it crashed".to_owned());

        assert_eq!(desired, before);
    }

    #[test]
    fn a_record_of_an_engine_that_went_back_itself_is_not_given_up() {
        let failed = Some(RolloutFailure { release: 3, reason: "it crashed".to_owned() });
        let serving = Some(release(2));
        let desired = DesiredState { wanted: serving.clone(), serving, is_settled: true, failed };

        assert!(!desired.is_given_up());
        assert!(matches!(desired.outcome(3), Some(Outcome::Failed { .. })));
    }
}
