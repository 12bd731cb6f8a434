//! Promises of hooks.

use std::collections::BTreeMap;

use domain::deployment::{Hooks, Replicas, Workload};
use futures_util::StreamExt as _;
use tokio::time::timeout;

use super::Subject;
use super::setting::*;
use crate::Outcome;

/// Each hook runs once, in this order, and its output is in the log.
pub async fn hooks_run_after_the_start_and_before_the_stop(subject: &dyn Subject) {
    let engine = subject.engine();
    let mut lines = engine.follow(BTreeMap::new());
    let hooks = Hooks { post_start: Some("warm up".to_owned()), pre_stop: Some("say goodbye".to_owned()) };
    let hooked = Workload { hooks, ..web(subject, 2) };

    deploy_well(&engine, &hooked).await;
    deploy_well(&engine, &Workload { replicas: Replicas::Fixed(0), ..hooked }).await;

    for expected in ["hook: warm up", "hook: say goodbye"] {
        let line = timeout(TIMEOUT, lines.next()).await.expect("in time").expect("the engine lives");
        assert_eq!(line.text, expected);
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
