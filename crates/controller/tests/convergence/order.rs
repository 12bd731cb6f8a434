//! In which order a rollout happens, and who waits for whom.

use testkit::{WAIT_MAX, wait_until};

use crate::world::{World, app};

#[tokio::test]
async fn a_process_type_that_goes_away_stops_after_the_others_have_started() {
    let (world, life) = World::with_release().await;
    world.engine.hang(&app("blog"));
    let before = world.engine.asked().applied.len();
    let deploy = world.built("blog", "web").await;
    life.controller.wake.notify_one();

    wait_until("web is told", WAIT_MAX, async || world.engine.asked().applied.len() > before).await;
    assert_eq!(world.wanted().await, "web v3 x1, worker v2 x2");
    world.engine.resume(&app("blog"));
    life.deploy(deploy).await;

    assert_eq!(world.wanted().await, "web v3 x1, worker v3 x0");
    let steps = world.store.steps_of_release(&app("blog"), 3).await.expect("an answer");
    let names: Vec<_> = steps
        .iter()
        .map(|step| (step.kind.as_str(), step.end.map(|(_, outcome)| outcome.as_str())))
        .collect();
    assert_eq!(names, ["start", "shift", "stop"].map(|name| (name, Some("succeeded"))));
}

#[tokio::test]
async fn requests_go_to_the_new_type_before_the_old_one_stops() {
    let (world, life) = World::with_release().await;
    life.deploy(world.scaled("cmd=1 web=0").await).await;

    let asked = world.engine.asked();

    let target = asked.routed.last().and_then(|routing| routing.target.clone());
    assert_eq!(target.map(String::from).as_deref(), Some("cmd"));
    let last = asked.applied.last().expect("a workload");
    assert_eq!((last.id.process.as_str(), last.replicas.at_least()), ("web", 0));
}

#[tokio::test]
async fn apps_do_not_wait_for_one_another() {
    let (world, life) = World::with_release().await;
    life.controller.create_app(app("shop"), "alice").await.expect("a new app");
    world.engine.hang(&app("blog"));
    let stuck = world.configured("GOOD").await;

    life.deploy(world.built("shop", "web").await).await;

    assert!(world.store.deploy(stuck).await.expect("an answer").expect("a deploy").state.is_open());
}

#[tokio::test]
async fn routers_know_the_domains_of_an_app() {
    let (world, life) = World::with_release().await;

    life.controller.refresh_routing(&app("blog")).await.expect("the engine answers");

    let routing = world.engine.asked().routed.pop().expect("a routing");
    assert_eq!(routing.target.map(String::from).as_deref(), Some("web"));
    let hosts: Vec<_> = routing.domains.iter().map(|claim| claim.host.as_str()).collect();
    assert_eq!(hosts, ["blog"]);
    assert!(routing.domains[0].since_ms > 0);
}
