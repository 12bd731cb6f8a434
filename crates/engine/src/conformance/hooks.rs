//! Promises of hooks.

use std::collections::BTreeMap;

use domain::deployment::{Hooks, Replicas, Workload};

use super::logs::next;
use super::setting::*;
use super::{RealSubject, Subject};
use crate::Outcome;

/// Each hook runs once, in this order, and its output is in the log.
pub async fn hooks_run_after_the_start_and_before_the_stop(subject: &dyn RealSubject) {
    let engine = subject.engine();
    let mut lines = subject.log_source().follow(BTreeMap::new());
    let hooks = Hooks { post_start: Some("warm up".to_owned()), pre_stop: Some("say goodbye".to_owned()) };
    let hooked = Workload { hooks, ..web(subject, 2) };

    deploy_well(&engine, &hooked).await;
    deploy_well(&engine, &Workload { replicas: Replicas::Fixed(0), ..hooked }).await;

    for expected in ["hook: warm up", "hook: say goodbye"] {
        assert_eq!(next(&mut lines).await.text, expected);
    }
}

/// The failure names the exit code of the hook.
pub async fn a_start_hook_that_fails_fails_the_rollout(subject: &dyn Subject) {
    let engine = subject.engine();
    let hooks = Hooks { post_start: Some("fail".to_owned()), pre_stop: None };

    let outcome = deploy(&engine, &Workload { hooks, ..web(subject, 2) }).await;

    let Outcome::Failed { reason } = outcome else { panic!("{outcome:?}") };
    assert!(reason.contains("the postStart hook exited with code 4"), "{reason}");
}
