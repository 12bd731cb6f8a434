//! Promises of scale and restarts.

use domain::pods::PodSelection;
use domain::{AppName, ProcessType};

use super::Subject;
use super::setting::*;

/// Scaling up and down keeps the pods that stay.
pub async fn scaling_replaces_nothing(subject: &dyn Subject) {
    let engine = subject.engine();
    deploy_well(&engine, &web_of(subject, 2, 1)).await;
    let one = names(&engine).await;

    deploy_well(&engine, &web_of(subject, 2, 3)).await;
    let three = names(&engine).await;
    deploy_well(&engine, &web_of(subject, 2, 2)).await;
    let two = names(&engine).await;

    assert_eq!((one.len(), three.len(), two.len()), (1, 3, 2));
    assert!(three.contains(&one[0]), "{one:?} {three:?}");
    assert!(two.iter().all(|name| three.contains(name)), "{three:?} {two:?}");
}

/// The route remains, without backends, and the workload can be scaled up again.
pub async fn scaling_to_zero_stops_all_pods_and_keeps_the_route(subject: &dyn Subject) {
    let engine = subject.engine();
    engine.route(&routing()).await.expect("reachable");
    deploy_well(&engine, &web(subject, 2)).await;

    deploy_well(&engine, &web_of(subject, 2, 0)).await;

    assert_eq!(engine.pods(&app()).await.expect("reachable"), []);
    let route = route_becomes(&engine, |route| route.is_some_and(|route| route.backends.is_empty())).await;
    assert_eq!(route.expect("there").wanted, 0);
    deploy_well(&engine, &web_of(subject, 2, 1)).await;
}

/// A restart of one process type leaves the pods of others, and returns the new pods.
pub async fn a_restart_replaces_the_chosen_pods_alone(subject: &dyn Subject) {
    let engine = subject.engine();
    deploy_well(&engine, &web_of(subject, 2, 2)).await;
    deploy_well(&engine, &worker(subject, 2)).await;
    let before = names(&engine).await;

    let restarted = engine.restart(&app(), &PodSelection::Process(ProcessType::web())).await;

    let restarted = restarted.expect("reachable");
    assert_eq!(restarted.len(), 2, "{restarted:?}");
    assert!(restarted.iter().all(|pod| pod.release == 2 && !before.contains(&pod.name)), "{restarted:?}");
    let after = names(&engine).await;
    assert_eq!(after.iter().filter(|name| before.contains(name)).count(), 1, "{before:?} {after:?}");
}

/// The other pod stays, and the successor is returned.
pub async fn a_named_pod_is_restarted_alone(subject: &dyn Subject) {
    let engine = subject.engine();
    deploy_well(&engine, &web_of(subject, 2, 2)).await;
    let before = names(&engine).await;

    let successors = engine.restart(&app(), &PodSelection::Named(before[0].clone())).await;

    let successors = successors.expect("reachable");
    assert_eq!(successors.len(), 1, "{successors:?}");
    assert!(!before.contains(&successors[0].name));
    let after = names(&engine).await;
    assert!(after.contains(&before[1]) && !after.contains(&before[0]), "{before:?} {after:?}");
}

/// A restart of an unknown app returns no pods and no error.
pub async fn a_restart_of_nothing_gives_nothing(subject: &dyn Subject) {
    let engine = subject.engine();
    let nobody = AppName::parse("nobody").expect("a good name");

    let restarted = engine.restart(&nobody, &PodSelection::All).await;

    assert_eq!(restarted.expect("reachable"), []);
}
