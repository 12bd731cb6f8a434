//! Isolation of apps from the platform and from one another, and their removal.

use domain::terminal::TerminalSize;
use engine::conformance::{Subject as _, TerminalUser, setting::*, sitting};
use testkit::docker::docker;
use testkit::{WAIT_MAX, wait_until};

use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_app_leaves_no_container_network_image_or_file() {
    let world = World::new().await;
    let engine = world.engine();
    engine.route(&routing()).await.expect("reachable");
    engine.keep(&app(), &world.image()).await.expect("it is here");
    deploy_well(&engine, &web_of(&world, 2, 2)).await;
    assert_eq!((world.containers().len(), world.networks().len(), world.instance.images().len()), (2, 1, 1));

    engine.remove_app(&app()).await.expect("reachable");

    assert_eq!(world.containers(), [""; 0]);
    assert_eq!(world.networks(), [""; 0]);
    assert_eq!(world.instance.images(), [""; 0]);
    assert_eq!(world.instance.volumes("-"), [""; 0]);
    let files = std::fs::read_dir(world.state().join("apps")).expect("the folder stays");
    assert_eq!(files.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_that_was_cut_off_is_carried_out_by_the_next_process() {
    let world = World::new().await;
    let stubborn = with_env(web(&world, 2), "ON_TERM", "ignore");
    deploy_well(&world.engine(), &stubborn).await;
    let removal = tokio::spawn({
        let engine = world.engine();
        async move { engine.remove_app(&app()).await }
    });
    route_becomes(&world.engine(), |route| route.is_none()).await;
    let is_recorded =
        || std::fs::read_dir(world.state().join("apps")).is_ok_and(|mut files| files.next().is_some());
    wait_until("the removal is recorded", WAIT_MAX, async || is_recorded()).await;
    removal.abort();
    world.stop();

    world.start().await;
    world.engine().remove_app(&app()).await.expect("reachable");

    assert_eq!((world.containers(), world.networks()), (vec![], vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_not_readable_in_the_state_files() {
    let world = World::new().await;
    let secret = with_env(web(&world, 2), "PASSWORD", "correct horse battery");

    deploy_well(&world.engine(), &secret).await;

    for file in std::fs::read_dir(world.state().join("apps")).expect("there") {
        let content = std::fs::read(file.expect("there").path()).expect("readable by us");
        let content = String::from_utf8_lossy(&content);
        assert!(!content.contains("battery") && !content.contains("PASSWORD"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_run_without_needless_rights_and_within_bounds() {
    let world = World::new().await;
    deploy_well(&world.engine(), &web(&world, 2)).await;

    let format = "{{.HostConfig.Privileged}} {{.HostConfig.SecurityOpt}} {{.HostConfig.CapDrop}} \
                  {{.HostConfig.PidsLimit}} {{.HostConfig.LogConfig.Config}}";
    let shown = docker(&["inspect", "--format", format, &world.containers()[0]]).join("\n");

    let expected =
        "false [no-new-privileges] [AUDIT_WRITE MKNOD NET_RAW SETFCAP] 40 map[max-file:2 max-size:10m]";
    assert_eq!(shown, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_session_leaves_nothing_of_its_process() {
    let world = World::new().await;
    let mut typist = sitting_down(&world).await;
    typist.types("hello").await;
    typist.sees("got: hello").await;
    assert_eq!(world.containers().len(), 1);

    drop(typist);

    world.containers_become(<[String]>::is_empty).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_whose_platform_died_is_removed_by_the_next() {
    let world = World::new().await;
    let typist = sitting_down(&world).await;
    world.containers_become(|containers| containers.len() == 1).await;

    // As after a kill: the container is there and nobody looks after it.
    std::mem::forget(typist);
    world.stop();
    world.start().await;

    world.containers_become(<[String]>::is_empty).await;
}

async fn sitting_down(world: &World) -> TerminalUser {
    let engine = world.engine();
    engine.keep(&app(), &world.image()).await.expect("the image is here");
    let size = TerminalSize { columns: 80, rows: 24 };
    TerminalUser::new(engine.open(sitting(world), Some(size)))
}
