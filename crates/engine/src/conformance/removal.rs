//! Promises of removal, and of nodes.

use std::collections::BTreeMap;

use super::Subject;
use super::setting::*;
use crate::{Engine, Outcome};

/// The other workload keeps running; the outcome of the removed one is superseded.
pub async fn removing_a_workload_leaves_the_others(subject: &dyn Subject) {
    let engine = subject.engine();
    deploy_well(&engine, &web(subject, 2)).await;
    deploy_well(&engine, &worker(subject, 2)).await;

    Engine::remove(&*engine, &id("web")).await.expect("reachable");

    let left = engine.pods(&app()).await.expect("reachable");
    assert!(left.len() == 1 && left[0].process == id("worker").process, "{left:?}");
    assert_eq!(engine.wanted().await.expect("reachable"), [worker(subject, 2)]);
    assert_eq!(engine.outcome(&id("web"), 2).await.expect("reachable"), Outcome::Superseded);
}

/// Removal of a workload and of an app is idempotent.
pub async fn removing_what_is_not_there_succeeds(subject: &dyn Subject) {
    let engine = subject.engine();

    Engine::remove(&*engine, &id("web")).await.expect("it is not there, which is what was asked for");
    engine.remove_app(&app()).await.expect("it is not there, which is what was asked for");
    engine.remove_app(&app()).await.expect("it is not there, which is what was asked for");
}

/// Pods, desired states and route are gone, and the name can be deployed again.
pub async fn a_removed_app_leaves_the_table_and_the_list(subject: &dyn Subject) {
    let engine = subject.engine();
    engine.route(&routing()).await.expect("reachable");
    deploy_well(&engine, &web(subject, 2)).await;

    engine.remove_app(&app()).await.expect("reachable");

    assert_eq!(engine.pods(&app()).await.expect("reachable"), []);
    assert_eq!(engine.wanted().await.expect("reachable"), []);
    route_becomes(&engine, |route| route.is_none()).await;
    deploy_well(&engine, &web(subject, 1)).await;
}

/// A node has all given labels with their values; no labels match any node.
pub async fn tags_are_matched_with_nodes(subject: &dyn Subject) {
    let engine = subject.engine();
    let tag = |name: &str, value: &str| BTreeMap::from([(name.to_owned(), value.to_owned())]);

    let mut found = Vec::new();
    for tags in [BTreeMap::new(), tag("disk", "ssd"), tag("disk", "tape"), tag("zone", "ssd")] {
        found.push(engine.has_node_with(&tags).await.expect("reachable"));
    }

    assert_eq!(found, [true, true, false, false]);
}
