//! Promises of probes and of crashes.

use domain::deployment::{Probes, Workload};
use domain::routing::{Backend, Route};

use super::AnyEngine;
use super::Subject;
use super::load::get;
use super::setting::*;
use std::sync::Arc;

pub async fn a_replica_gets_no_traffic_before_it_answers(subject: &dyn Subject) {
    let engine = subject.engine();
    engine.route(&routing()).await.expect("reachable");
    let slow = with_env(web(subject, 2), "START_MS", "1000");

    engine.apply(&slow).await.expect("reachable");
    let backend = only_backend(&engine).await;

    // Connects at once: it is in the table only since it answers.
    assert_eq!(get(backend.address, "/").await.as_deref(), Ok("release 2"));
}

pub async fn a_sick_replica_leaves_the_table(subject: &dyn Subject) {
    let engine = subject.engine();
    engine.route(&routing()).await.expect("reachable");
    let probes = Probes { liveness: None, readiness: Some(health_check()) };
    deploy_well(&engine, &Workload { probes, ..web(subject, 2) }).await;
    let backend = only_backend(&engine).await;

    get(backend.address, "/sicken").await.expect("it answers");

    route_becomes(&engine, |route| backends(route).is_empty()).await;
    pods_become(&engine, |pods| pods.len() == 1).await;
}

pub async fn a_replica_that_fails_its_liveness_check_is_restarted(subject: &dyn Subject) {
    let engine = subject.engine();
    engine.route(&routing()).await.expect("reachable");
    let probes = Probes { liveness: Some(health_check()), ..web(subject, 2).probes };
    deploy_well(&engine, &Workload { probes, grace_seconds: 1, ..web(subject, 2) }).await;
    let backend = only_backend(&engine).await;

    get(backend.address, "/sicken").await.expect("it answers");

    let healed = comes_back(&engine, &backend).await;
    assert!(get(healed.address, "/health").await.is_ok());
}

pub async fn a_crashed_replica_is_started_again(subject: &dyn Subject) {
    let engine = subject.engine();
    engine.route(&routing()).await.expect("reachable");
    deploy_well(&engine, &web(subject, 2)).await;
    let backend = only_backend(&engine).await;

    assert!(get(backend.address, "/crash").await.is_err());

    let healed = comes_back(&engine, &backend).await;
    assert_eq!(get(healed.address, "/").await.as_deref(), Ok("release 2"));
}

fn backends(route: Option<&Route>) -> &[Backend] {
    route.map_or(&[], |route| &route.backends)
}

pub(super) async fn only_backend(engine: &Arc<dyn AnyEngine>) -> Backend {
    let route = route_becomes(engine, |route| backends(route).len() == 1).await;
    route.expect("there").backends.remove(0)
}

/// Another run has another key, whatever its address.
pub(super) async fn comes_back(engine: &Arc<dyn AnyEngine>, before: &Backend) -> Backend {
    let is_other = |route: Option<&Route>| backends(route).iter().any(|backend| backend.key != before.key);
    let route = route_becomes(engine, is_other).await;
    route.expect("there").backends.remove(0)
}
