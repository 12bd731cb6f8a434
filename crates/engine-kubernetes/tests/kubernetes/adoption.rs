//! Adoption of what an earlier process, another one or a person left.

use std::time::{Duration, Instant};

use domain::pods::PodState;
use engine::Outcome;
use engine::conformance::{Subject as _, setting::*};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_new_process_adopts_what_runs_and_routes_to_it_at_once() {
    let world = World::new().await;
    world.engine().route(&routing()).await.expect("reachable");
    deploy_well(&world.engine(), &web_of(&world, 2, 2)).await;
    route_becomes(&world.engine(), |route| route.is_some_and(|route| route.backends.len() == 2)).await;
    let before = names(&world.engine()).await;
    world.stop();

    let begun = Instant::now();
    world.start().await;
    let table = world.engine().watch().borrow().clone();

    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(route_in(&table).map(|route| route.backends.len()), Some(2), "{table:?}");
    deploy_well(&world.engine(), &web_of(&world, 2, 2)).await;
    assert_eq!(names(&world.engine()).await, before);
    assert!(pods(&world.engine()).await.iter().all(|pod| pod.state == PodState::Up));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_that_was_cut_off_is_carried_out_by_the_next_process() {
    let world = World::new().await;
    deploy_well(&world.engine(), &web(&world, 2)).await;
    let slow = with_env(web(&world, 3), "START_MS", "1500");
    world.engine().apply(&slow).await.expect("recorded");
    world.stop();

    world.start().await;

    assert_eq!(outcome(&world.engine(), &slow).await, Outcome::Running);
    pods_become(&world.engine(), |pods| pods.len() == 1 && pods[0].release == 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_that_was_cut_off_is_carried_out_by_the_next_process() {
    let world = World::new().await;
    deploy_well(&world.engine(), &web(&world, 2)).await;
    let before = names(&world.engine()).await;
    world.stop();
    let kubernetes = Api::<Pod>::namespaced(world.client.clone(), &world.namespace());
    let template = kubernetes.get(&before[0]).await.expect("there").metadata.labels.expect("it has some");
    let labels = json!({ "pod-template-hash": null, "deis.io/detached": template["pod-template-hash"] });
    let detached = json!({ "metadata": { "labels": labels } });
    let patched = kubernetes.patch(&before[0], &PatchParams::default(), &Patch::Merge(&detached)).await;
    patched.expect("it is taken out of its ReplicaSet");

    world.start().await;

    pods_become(&world.engine(), |pods| pods.len() == 1 && !before.contains(&pods[0].name)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_that_someone_deleted_is_made_again() {
    let world = World::new().await;
    deploy_well(&world.engine(), &web(&world, 2)).await;
    let before = names(&world.engine()).await;

    let deployments = Api::<Deployment>::namespaced(world.client.clone(), &world.namespace());
    deployments.delete("blog-web", &DeleteParams::background()).await.expect("it is there");

    let is_new = |pods: &[domain::pods::Pod]| {
        pods.len() == 1 && !before.contains(&pods[0].name) && pods[0].state == PodState::Up
    };
    pods_become(&world.engine(), is_new).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_do_not_overwrite_each_others_desired_states() {
    let world = World::new().await;
    let one = world.engine();
    let other = world.another().await;
    deploy_well(&one, &web(&world, 2)).await;

    for release in [3, 5, 7] {
        let (older, newer) = (web(&world, release), web(&world, release + 1));
        let (first, second) = tokio::join!(one.apply(&older), other.apply(&newer));
        first.and(second).expect("both are recorded");
        let (first, second) = tokio::join!(outcome(&one, &older), outcome(&other, &newer));
        let winners = [&first, &second].into_iter().filter(|it| **it == Outcome::Running).count();
        // The first may have been carried out before the second came.
        assert!(winners >= 1 && ![&first, &second].iter().any(|it| matches!(it, Outcome::Failed { .. })));
    }

    let wanted = one.wanted().await.expect("reachable");
    assert_eq!(wanted, other.wanted().await.expect("reachable"));
    pods_become(&one, |pods| pods.len() == 1 && pods[0].release == wanted[0].release).await;
}
