//! Limit of what a process writes to its container's disk.

use domain::Image;
use domain::build::OneOff;
use domain::logs::LogOrigin;
use domain::pods::{Pod, PodState};
use domain::routing::Route;
use engine::JobError;
use engine::conformance::builds::one_off;
use engine::conformance::{Subject as _, get, setting::*};
use testkit::docker::docker;
use tokio::time::timeout;

use crate::machine::list_becomes;
use crate::world::{World, import};

fn fills(image: Image, path: &str) -> OneOff {
    let args = Some(vec!["fill".to_owned(), path.to_owned()]);
    let name = "blog-run-fills".to_owned();
    OneOff { name, args, deadline_seconds: 60, ..one_off(&app(), image) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_one_off_process_that_fills_the_disk_is_ended_with_a_sentence() {
    let world = World::set(None, |settings| settings.replica_disk_bytes = Some(64 << 20)).await;
    let engine = world.engine();
    engine.keep(&app(), &world.image()).await.expect("the image is here");
    let run = fills(world.image(), "/filled");

    let ended = engine.run(&run).await;

    let Err(JobError::Refused { reason }) = ended else { panic!("it went on: {ended:?}") };
    assert_eq!(reason, "it wrote more than its bound of 64 MB to disk");
    world.containers_become(<[String]>::is_empty).await;
}

/// Docker makes a volume without a name for each `VOLUME` of an image.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_to_a_volume_of_the_image_counts_and_the_volume_ends_with_the_process() {
    let world = World::set(None, |settings| settings.replica_disk_bytes = Some(64 << 20)).await;
    let engine = world.engine();
    let reference = format!("{}-volume", world.reference);
    let image =
        Image::External { reference: reference.clone(), digest: import(&reference, &["VOLUME /data"]) };
    engine.keep(&app(), &image).await.expect("the image is here");
    let volumes_before = docker(&["volume", "ls", "--quiet"]);

    let ended = engine.run(&fills(image, "/data/filled")).await;

    let Err(JobError::Refused { reason }) = ended else { panic!("it went on: {ended:?}") };
    assert_eq!(reason, "it wrote more than its bound of 64 MB to disk");
    world.containers_become(<[String]>::is_empty).await;
    docker(&["rmi", "--force", &reference]);
    let is_new = |volume: &String| volume.len() == 64 && !volumes_before.contains(volume);
    list_becomes(|| docker(&["volume", "ls", "--quiet"]), |volumes| !volumes.iter().any(is_new)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_fills_the_disk_is_replaced_and_its_app_told() {
    let world = World::set(None, |settings| settings.replica_disk_bytes = Some(64 << 20)).await;
    let engine = world.engine();
    engine.route(&routing()).await.expect("reachable");
    deploy_well(&engine, &web(&world, 2)).await;
    let pod = pods(&engine).await.remove(0).name;
    let serves = |route: Option<&Route>| route.is_some_and(|route| route.backends.len() == 1);
    let route = route_becomes(&engine, serves).await.expect("there");
    get(route.backends[0].address, "/fill").await.expect("it answers");

    let told = async {
        loop {
            let line = world.log_sink.next().await;
            if matches!(&line.origin, LogOrigin::Platform { level, .. } if level == "WARN") {
                return line.text;
            }
        }
    };
    let told = timeout(TIMEOUT, told).await.expect("in time");

    let text = "wrote more than 64 MB to its disk and is replaced; what it keeps belongs elsewhere";
    assert_eq!(told, format!("{pod} {text}"));
    let is_other = |pods: &[Pod]| matches!(pods, [other] if other.name != pod && other.release == 2 && other.state == PodState::Up);
    pods_become(&engine, is_other).await;
}
