//! Networks that others took away, or will not let go.

use engine::conformance::{Subject as _, setting::*};
use engine_docker::Reach;
use testkit::docker::docker;

use crate::machine::list_becomes;
use crate::world::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_whose_network_was_removed_by_hand_serves_again() {
    let world = World::with(Some(Reach::Direct)).await;
    let engine = world.engine();
    engine.route(&routing()).await.expect("reachable");
    deploy_well(&engine, &web(&world, 2)).await;
    let (network, container) = (world.networks()[0].clone(), world.containers()[0].clone());

    docker(&["network", "disconnect", "--force", &network, &container]);
    docker(&["network", "rm", &network]);

    pods_become(&engine, |pods| {
        pods.len() == 1 && !container.is_empty() && pods[0].state == domain::pods::PodState::Up
    })
    .await;
    world.containers_become(|containers| containers.len() == 1 && containers[0] != container).await;
    route_becomes(&engine, |route| route.is_some_and(|route| !route.backends.is_empty())).await;
    assert_eq!(world.networks().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_in_use_by_others_holds_up_no_removal_and_goes_when_it_can() {
    let world = World::new().await;
    let engine = world.engine();
    deploy_well(&engine, &web(&world, 2)).await;
    let network = world.networks()[0].clone();
    let stranger =
        docker(&["run", "--detach", "--env", "MODE=silent", "--network", &network, &world.reference]);

    engine.remove_app(&app()).await.expect("reachable");

    let files = std::fs::read_dir(world.state().join("apps")).expect("the folder stays");
    assert_eq!((files.count(), world.networks().len()), (0, 1));
    // An app of the same name has it again.
    deploy_well(&engine, &web(&world, 2)).await;
    engine.remove_app(&app()).await.expect("reachable");
    docker(&["rm", "--force", &stranger[0]]);
    list_becomes(|| world.networks(), <[String]>::is_empty).await;
}
