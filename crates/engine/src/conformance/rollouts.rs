//! Promises of rollouts.

use std::collections::BTreeSet;
use std::sync::Arc;

use domain::deployment::Workload;
use domain::pods::PodState;
use domain::routing::Backend;

use super::setting::*;
use super::{AnyEngine, Subject};
use crate::Outcome;

/// Pods are up with the release, and their names are `<app>-<type>-<hash>-<5 of a-z0-9>`.
pub async fn a_desired_state_is_carried_out_and_listed(subject: &dyn Subject) {
    let engine = subject.engine();
    let desired = web_of(subject, 2, 2);

    deploy_well(&engine, &desired).await;

    let pods = pods(&engine).await;
    assert_eq!(engine.wanted().await.expect("reachable"), [desired]);
    assert_eq!(pods.len(), 2);
    for pod in pods {
        assert_eq!((pod.release, pod.state, pod.started.is_some()), (2, PodState::Up, true));
        let last =
            pod.name.strip_prefix("blog-web-").expect("app and type").rsplit_once('-').expect("a hash").1;
        let is_short =
            last.len() == 5 && last.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        assert!(is_short, "{}", pod.name);
    }
}

/// The same desired state again keeps the same pods.
pub async fn repeating_a_desired_state_changes_nothing(subject: &dyn Subject) {
    let engine = subject.engine();
    let desired = web_of(subject, 2, 2);
    deploy_well(&engine, &desired).await;
    let before = names(&engine).await;

    deploy_well(&engine, &desired).await;
    deploy_well(&engine, &desired).await;

    assert_eq!(names(&engine).await, before);
}

/// No pod of the old release is left.
pub async fn a_new_release_replaces_all_pods(subject: &dyn Subject) {
    let engine = subject.engine();
    deploy_well(&engine, &web_of(subject, 2, 2)).await;
    let before: BTreeSet<_> = names(&engine).await.into_iter().collect();

    deploy_well(&engine, &web_of(subject, 3, 2)).await;

    let after = pods(&engine).await;
    assert_eq!(after.len(), 2);
    assert!(after.iter().all(|pod| pod.release == 3 && !before.contains(&pod.name)), "{after:?}");
}

/// The old release keeps its pods and its route, and the controller goes back to it without replacing one.
pub async fn a_failed_rollout_leaves_the_old_release(subject: &dyn Subject) {
    let engine = subject.engine();
    engine.route(&routing()).await.expect("reachable");
    let good = web_of(subject, 2, 2);
    deploy_well(&engine, &good).await;
    let before = names(&engine).await;

    let broken = broken(subject, 3);
    let outcome = deploy(&engine, &broken).await;

    assert!(matches!(outcome, Outcome::Failed { .. }), "{outcome:?}");
    serves(&engine, 2, 2).await;
    assert_eq!(engine.wanted().await.expect("reachable"), [broken]);
    let left = names(&engine).await;
    assert!(before.iter().all(|name| left.contains(name)), "{before:?} {left:?}");
    go_back(&engine, &good.id, Some(&good)).await;
    assert_eq!(pods_become(&engine, |pods| pods.len() == 2).await.len(), 2);
    assert_eq!(names(&engine).await, before);
    assert_eq!(engine.wanted().await.expect("reachable"), [good]);
    serves(&engine, 2, 2).await;
}

/// Waits until just so many replicas of this release get requests.
async fn serves(engine: &Arc<dyn AnyEngine>, release: u64, count: usize) {
    let is_whole = |backends: &[Backend]| {
        backends.len() == count && backends.iter().all(|backend| backend.release == release)
    };
    route_becomes(engine, |route| route.is_some_and(|route| is_whole(&route.backends))).await;
}

/// One crash may be bad luck, such as a database that is not there yet.
pub async fn a_release_that_crashes_once_and_then_runs_settles(subject: &dyn Subject) {
    let engine = subject.engine();
    engine.route(&routing()).await.expect("reachable");
    let mut unlucky = web(subject, 2);
    subject.crashes(&mut unlucky, 1);

    deploy_well(&engine, &unlucky).await;

    serves(&engine, 2, 1).await;
    assert_eq!(engine.wanted().await.expect("reachable"), [unlucky]);
}

/// Two crashes are a crash loop: given up before the start timeout, with the old release serving.
pub async fn a_release_that_crashes_twice_is_given_up(subject: &dyn Subject) {
    let engine = subject.engine();
    engine.route(&routing()).await.expect("reachable");
    deploy_well(&engine, &web(subject, 2)).await;
    // It would become ready, but only long after its second crash.
    let mut looping = with_env(web(subject, 3), "START_MS", "10000");
    looping.start_timeout_seconds = 300;
    subject.crashes(&mut looping, 2);

    let outcome = deploy(&engine, &looping).await;

    let Outcome::Failed { reason } = outcome else { panic!("{outcome:?}") };
    assert!(reason.starts_with("web crashed 2 times in a row: exit code 3"), "{reason}");
    serves(&engine, 2, 1).await;
    go_back(&engine, &looping.id, Some(&web(subject, 2))).await;
    serves(&engine, 2, 1).await;
}

/// No pod and no desired state is left once the controller has taken it back.
pub async fn a_first_rollout_that_fails_leaves_nothing(subject: &dyn Subject) {
    let engine = subject.engine();

    let outcome = deploy(&engine, &broken(subject, 2)).await;

    assert!(matches!(outcome, Outcome::Failed { .. }), "{outcome:?}");
    go_back(&engine, &id("web"), None).await;
    pods_become(&engine, <[_]>::is_empty).await;
    assert_eq!(engine.wanted().await.expect("reachable"), []);
}

/// The outcome of the older one is superseded, that of the newer one is its own.
pub async fn a_newer_desired_state_takes_the_place_of_one_under_way(subject: &dyn Subject) {
    let engine = subject.engine();
    deploy_well(&engine, &web(subject, 2)).await;
    let mut stalled = web(subject, 3);
    subject.stalls(&mut stalled);
    engine.apply(&stalled).await.expect("the desired state is recorded");
    let waiting = tokio::spawn({
        let (engine, stalled) = (engine.clone(), stalled.clone());
        async move { outcome(&engine, &stalled).await }
    });

    let newer = web(subject, 4);
    engine.apply(&newer).await.expect("the desired state is recorded");
    subject.resumes();

    assert_eq!(waiting.await.expect("no panic"), Outcome::Superseded);
    assert_eq!(outcome(&engine, &newer).await, Outcome::Running);
    pods_become(&engine, |pods| pods.len() == 1 && pods[0].release == 4).await;
}

/// A failure is not held against a later desired state of the same release.
pub async fn a_desired_state_that_failed_can_be_made_again(subject: &dyn Subject) {
    let engine = subject.engine();
    let mut desired = broken(subject, 2);
    assert!(matches!(deploy(&engine, &desired).await, Outcome::Failed { .. }));

    desired.env.clone_from(&web(subject, 2).env);

    deploy_well(&engine, &desired).await;
}

/// The reason of a failed rollout names both.
pub async fn a_failure_is_told_with_its_exit_code_and_last_lines(subject: &dyn Subject) {
    let engine = subject.engine();

    let outcome = deploy(&engine, &broken(subject, 2)).await;

    let Outcome::Failed { reason } = outcome else { panic!("{outcome:?}") };
    assert!(reason.contains("exit code 3"), "{reason}");
    assert!(reason.contains("cannot start: no such table"), "{reason}");
}

/// The start timeout ends the rollout, and the reason names the port.
pub async fn a_process_that_never_listens_fails_in_time(subject: &dyn Subject) {
    let engine = subject.engine();
    let silent = Workload { start_timeout_seconds: 4, ..with_env(web(subject, 2), "MODE", "silent") };

    let outcome = deploy(&engine, &silent).await;

    let Outcome::Failed { reason } = outcome else { panic!("{outcome:?}") };
    assert!(reason.contains("web did not become ready within 4 s"), "{reason}");
    assert!(reason.contains("nothing listens on port 8000"), "{reason}");
    go_back(&engine, &silent.id, None).await;
    pods_become(&engine, <[_]>::is_empty).await;
}

/// The rollout fails before its start timeout, and the reason names the program.
pub async fn a_program_that_is_missing_fails_at_once(subject: &dyn Subject) {
    let engine = subject.engine();
    let missing = Workload { command: Some(vec!["/no/such/program".to_owned()]), ..web(subject, 2) };

    let outcome = deploy(&engine, &missing).await;

    let Outcome::Failed { reason } = outcome else { panic!("{outcome:?}") };
    assert!(reason.contains("/no/such/program"), "{reason}");
    go_back(&engine, &missing.id, None).await;
    pods_become(&engine, <[_]>::is_empty).await;
}

/// The reason names the tag.
pub async fn tags_that_no_node_has_fail_the_rollout(subject: &dyn Subject) {
    let engine = subject.engine();
    let mut tagged = web(subject, 2);
    tagged.tags.insert("disk".to_owned(), "tape".to_owned());

    let outcome = deploy(&engine, &tagged).await;

    let Outcome::Failed { reason } = outcome else { panic!("{outcome:?}") };
    assert!(reason.contains("disk=tape"), "{reason}");
}

fn broken(subject: &dyn Subject, release: u64) -> Workload {
    let mut broken = web_of(subject, release, 2);
    subject.breaks(&mut broken);
    broken
}
