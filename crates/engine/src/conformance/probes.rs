//! Promises of probes and of crashes.

use domain::crashes::{Crash, Crashes, Exit};
use domain::deployment::{Probes, Replicas, Workload};
use domain::pods::{Pod, PodSelection};
use domain::routing::{Backend, Route};
use futures_util::{Stream, StreamExt as _};
use tokio::time::timeout;

use super::AnyEngine;
use super::Subject;
use super::load::get;
use super::setting::*;
use std::sync::Arc;

/// A replica that starts slowly enters the table only once it answers.
pub async fn a_replica_gets_no_traffic_before_it_answers(subject: &dyn Subject) {
    let engine = subject.engine();
    engine.route(&routing()).await.expect("reachable");
    let slow = with_env(web(subject, 2), "START_MS", "1000");

    engine.apply(&slow).await.expect("reachable");
    let backend = only_backend(&engine).await;

    // Connects at once: it is in the table only since it answers.
    assert_eq!(get(backend.address, "/").await.as_deref(), Ok("release 2"));
}

/// A replica whose readiness probe fails leaves the table and keeps running.
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

/// A replica whose liveness probe fails is replaced by one that answers.
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

/// A process that exited is started again and serves the same release.
pub async fn a_crashed_replica_is_started_again(subject: &dyn Subject) {
    let engine = subject.engine();
    engine.route(&routing()).await.expect("reachable");
    deploy_well(&engine, &web(subject, 2)).await;
    let backend = only_backend(&engine).await;

    assert!(get(backend.address, "/crash").await.is_err());

    let healed = comes_back(&engine, &backend).await;
    assert_eq!(get(healed.address, "/").await.as_deref(), Ok("release 2"));
}

/// Reports to the app's users: each crash once, with its exit code, and the number of crashes at the pod.
pub async fn a_crash_is_told_with_its_exit_code_and_counted(subject: &dyn Subject) {
    let engine = subject.engine();
    engine.route(&routing()).await.expect("reachable");
    deploy_well(&engine, &web(subject, 2)).await;
    let mut crashes = engine.crashes();
    let mut backend = only_backend(&engine).await;

    for times in 1..=2 {
        let _ = get(backend.address, "/crash").await;
        backend = comes_back(&engine, &backend).await;
        let crash = next_crash(&mut crashes).await;

        let Crashes { exit, times: counted, since, last } = crash.crashes;
        assert_eq!((exit, counted), (Exit { code: 7, is_out_of_memory: false }, times));
        assert!(since <= last);
        let is_counted = |pod: &Pod| pod.crashes.is_some_and(|shown| shown.times == times);
        let shown = pods_become(&engine, |pods| pods.iter().any(is_counted)).await;
        assert_eq!(shown[0].name, crash.pod);
        assert_eq!((crash.app, crash.process.as_str(), crash.release), (app(), "web", 2));
    }
}

/// Ends that were asked for are none, not even by force: new releases, restarts, fewer replicas.
pub async fn what_is_asked_to_end_does_not_crash(subject: &dyn Subject) {
    let engine = subject.engine();
    engine.route(&routing()).await.expect("reachable");
    let stubborn =
        |release| Workload { grace_seconds: 1, ..with_env(web_of(subject, release, 2), "ON_TERM", "ignore") };
    deploy_well(&engine, &stubborn(2)).await;
    let mut crashes = engine.crashes();

    deploy_well(&engine, &stubborn(3)).await;
    engine.restart(&app(), &PodSelection::All).await.expect("reachable");
    deploy_well(&engine, &Workload { replicas: Replicas::Fixed(1), ..stubborn(3) }).await;
    let backend = only_backend(&engine).await;
    pods_become(&engine, |pods| pods.len() == 1).await;
    let _ = get(backend.address, "/crash").await;

    let first = next_crash(&mut crashes).await;
    assert_eq!((first.crashes.exit.code, first.crashes.times, first.release), (7, 1, 3), "{first:?}");
}

pub(super) async fn next_crash(crashes: &mut (impl Stream<Item = Crash> + Unpin)) -> Crash {
    timeout(TIMEOUT, crashes.next()).await.expect("a crash is told in time").expect("the engine lives")
}

fn backends(route: Option<&Route>) -> &[Backend] {
    route.map_or(&[], |route| &route.backends)
}

/// Waits until the route has exactly one backend, and returns it.
pub async fn only_backend(engine: &Arc<dyn AnyEngine>) -> Backend {
    let route = route_becomes(engine, |route| backends(route).len() == 1).await;
    route.expect("there").backends.remove(0)
}

/// Another run has another key, whatever its address.
pub(super) async fn comes_back(engine: &Arc<dyn AnyEngine>, before: &Backend) -> Backend {
    let is_other = |route: Option<&Route>| backends(route).iter().any(|backend| backend.key != before.key);
    let route = route_becomes(engine, is_other).await;
    route.expect("there").backends.remove(0)
}
