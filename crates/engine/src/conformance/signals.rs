//! Promises of signals.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use domain::deployment::Workload;

use super::RealSubject;
use super::logs::next;
use super::setting::*;

/// The process gets TERM first, and KILL no earlier than `grace_seconds` later.
pub async fn a_process_that_ignores_term_is_killed_after_its_grace_period(subject: &dyn RealSubject) {
    let engine = subject.engine();
    let mut lines = subject.log_source().follow(BTreeMap::new());
    let stubborn = Workload { grace_seconds: 2, ..with_env(web(subject, 2), "ON_TERM", "ignore") };
    deploy_well(&engine, &stubborn).await;
    let begun = Instant::now();

    let none = Workload { replicas: domain::deployment::Replicas::Fixed(0), ..stubborn };
    deploy_well(&engine, &none).await;

    assert_eq!(next(&mut lines).await.text, "got TERM, going on");
    assert!(begun.elapsed() >= Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(engine.pods(&app()).await.expect("reachable"), []);
}
