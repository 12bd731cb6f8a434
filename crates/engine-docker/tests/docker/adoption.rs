//! Adoption of what an earlier process left.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use domain::pods::PodState;
use domain::routing::RouteOwner;
use domain::shell;
use engine::conformance::{Subject as _, get, setting::*};
use engine_docker::Reach;
use testkit::docker::docker;

use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_new_process_adopts_what_runs_and_routes_to_it_at_once() {
    let world = World::new().await;
    world.engine().route(&routing()).await.expect("reachable");
    deploy_well(&world.engine(), &web_of(&world, 2, 2)).await;
    let before = world.containers();
    world.stop();

    let begun = Instant::now();
    world.start().await;
    let table = world.engine().watch().borrow().clone();

    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(route_in(&table).map(|route| route.backends.len()), Some(2), "{table:?}");
    deploy_well(&world.engine(), &web_of(&world, 2, 2)).await;
    assert_eq!(world.containers(), before);
    assert!(pods(&world.engine()).await.iter().all(|pod| pod.state == PodState::Up));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_that_was_cut_off_is_carried_out_by_the_next_process() {
    let world = World::new().await;
    deploy_well(&world.engine(), &web(&world, 2)).await;
    let slow = with_env(web(&world, 3), "START_MS", "1500");
    world.engine().apply(&slow).await.expect("recorded");
    pods_become(&world.engine(), |pods| pods.len() == 2).await;
    world.stop();

    world.start().await;

    assert_eq!(outcome(&world.engine(), &slow).await, engine::Outcome::Running);
    pods_become(&world.engine(), |pods| pods.len() == 1 && pods[0].release == 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_that_were_stopped_or_lost_in_the_meantime_are_made_again() {
    let world = World::new().await;
    world.engine().route(&routing()).await.expect("reachable");
    deploy_well(&world.engine(), &web_of(&world, 2, 2)).await;
    let before = world.containers();
    world.stop();
    docker(&["rm", "--force", &before[0]]);
    docker(&["stop", "--time", "0", &before[1]]);

    world.start().await;

    let is_back =
        |route: Option<&domain::routing::Route>| route.is_some_and(|route| route.backends.len() == 2);
    route_becomes(&world.engine(), is_back).await;
    world.containers_become(|ids| ids.len() == 2 && ids.iter().all(|id| !before.contains(id))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_process_never_opens_the_files_of_another_key() {
    let mut world = World::new().await;
    deploy_well(&world.engine(), &web(&world, 2)).await;
    world.stop();

    world.settings.sealing_keys = domain::sealing::SealingKey::new(&[2; 32]).into();
    let started = engine_docker::DockerEngine::start(world.settings.clone(), world.log_sink.clone()).await;

    let error = started.err().expect("it cannot be opened").to_string();
    assert!(error.contains("blog.json"), "{error}");
    assert_eq!(world.containers().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_docker_the_start_says_where_it_was_sought_and_what_to_do() {
    let mut world = World::new().await;
    world.stop();
    world.settings.socket = Some(world.state().join("no.sock"));

    let started = engine_docker::DockerEngine::start(world.settings.clone(), world.log_sink.clone()).await;

    let error = started.err().expect("there is none").to_string();
    assert!(error.contains("no.sock") && error.contains("is the Docker daemon running?"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_without_a_reachable_address_are_reached_on_loopback() {
    let world = World::with(Some(Reach::Published)).await;
    world.engine().route(&routing()).await.expect("reachable");

    deploy_well(&world.engine(), &with_env(web(&world, 2), "START_MS", "500")).await;

    let is_there =
        |route: Option<&domain::routing::Route>| route.is_some_and(|route| route.backends.len() == 1);
    let backend = route_becomes(&world.engine(), is_there).await.expect("there").backends.remove(0);
    assert!(backend.address.ip().is_loopback(), "{backend:?}");
    assert_eq!(get(backend.address, "/").await.as_deref(), Ok("release 2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_platforms_own_hosts_are_in_the_table_from_the_start() {
    let world = World::new().await;

    let table = world.engine().watch().borrow().clone();

    let route = table.routes.iter().find(|route| route.owner == RouteOwner::Platform("deis".to_owned()));
    let route = route.expect("it was set");
    assert_eq!(route.own_hosts, ["deis.localhost"]);
    assert_eq!((route.wanted, route.backends[0].address.port()), (1, 9));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_whose_session_was_cut_off_is_ended_by_the_next_process_and_no_other_is() {
    let world = World::new().await;
    deploy_well(&world.engine(), &web(&world, 1)).await;
    let container = world.containers().remove(0);
    let sit = ["/app", "sit"].map(str::to_owned);
    let mut ours = command_in(&container, &shell::marked("00c0ffee00c0ffee", "vt100", &sit));
    let mut other = command_in(&container, &sit);
    // Else its input would end as soon as it is waited for, and with it the command.
    let _input = ours.stdin.take();
    world.stop();

    world.start().await;

    let ended = tokio::task::spawn_blocking(move || ours.wait());
    let ended = tokio::time::timeout(TIMEOUT, ended).await.expect("it is ended in time");
    assert!(!ended.expect("no panic").expect("it ran").success());
    assert!(other.try_wait().expect("it ran").is_none(), "what is no session of ours goes on");
    other.kill().and_then(|()| other.wait()).expect("it ends");
}

/// A command in the container, which has answered once, with nobody of the platform in front of it.
fn command_in(container: &str, words: &[String]) -> Child {
    let mut command = Command::new("docker");
    command.args(["exec", "--interactive", container]).args(words);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("docker can be run");
    child.stdin.as_mut().expect("a pipe").write_all(b"hello\n").expect("it listens");
    let mut line = String::new();
    let output = child.stdout.as_mut().expect("a pipe");
    BufReader::new(output).read_line(&mut line).expect("it answers");
    assert_eq!(line, "got: hello\n");
    child
}
