//! An engine that does not answer for a while, or that has lost what it knew.

use controller::deployer::DeployOutcome;
use engine::fake::FakeEngine;
use jiff::Timestamp;
use store::NewDomain;
use testkit::{WAIT_MAX, wait_until};

use crate::world::{World, app};

#[tokio::test]
async fn a_deploy_waits_for_an_engine_that_comes_back() {
    let (world, life) = World::with_release().await;
    world.engine.set_reachable(false);
    let deploy = world.configured("GOOD").await;
    life.controller.wake.notify_one();
    let is_begun = async || {
        let deploy = world.store.deploy(deploy).await.expect("an answer").expect("a deploy");
        deploy.state == store::DeployState::Running
    };
    wait_until("the deploy is under way", WAIT_MAX, is_begun).await;

    world.engine.set_reachable(true);

    assert_eq!(life.end_of(deploy).await, DeployOutcome::Succeeded);
    assert_eq!(world.wanted().await, "web v3 x1, worker v3 x2");
}

#[tokio::test]
async fn an_engine_that_stays_away_fails_the_deploy_with_what_to_do_and_is_put_right_later() {
    let (mut world, life) = World::with_release().await;
    life.kill().await;
    world.settings.engine_timeout_seconds = 0;
    world.engine.hang(&app("blog"));
    let life = world.start();
    let deploy = world.configured("GOOD").await;
    life.controller.wake.notify_one();
    wait_until("v3 is told", WAIT_MAX, async || world.wanted().await.contains("worker v3")).await;

    world.engine.set_reachable(false);
    let ended = life.end_of(deploy).await;
    world.engine.set_reachable(true);
    world.engine.resume(&app("blog"));

    let DeployOutcome::Failed { reason } = ended else { panic!("{ended:?}") };
    assert!(
        reason.contains("the engine is unreachable") && reason.contains("systemctl start docker"),
        "{reason}"
    );
    wait_until("the engine is back at v2", WAIT_MAX, async || {
        world.wanted().await == "web v2 x1, worker v2 x2"
    })
    .await;
}

#[tokio::test]
async fn an_engine_that_lost_everything_is_told_again_at_the_next_start() {
    let (mut world, life) = World::with_release().await;
    life.kill().await;
    world.engine = FakeEngine::new();

    let _life = world.start();

    wait_until("all is told again", WAIT_MAX, async || world.wanted().await == "web v2 x1, worker v2 x2")
        .await;
    let is_routed = async || world.engine.asked().routed.iter().any(|routing| routing.target.is_some());
    wait_until("the app is routed again", WAIT_MAX, is_routed).await;
}

#[tokio::test]
async fn a_domain_that_could_not_be_told_is_told_later() {
    let (world, life) = World::with_release().await;
    world.engine.set_reachable(false);
    let (domain, owner) = ("www.example.org".to_owned(), "alice".to_owned());
    let claim = NewDomain { domain, app: app("blog"), owner, now: Timestamp::now() };
    world.store.add_domain(claim, 100).await.expect("a free domain");
    life.controller.refresh_routing(&app("blog")).await.expect_err("the engine is away");

    world.engine.set_reachable(true);

    let hosts = || world.engine.asked().routed.pop().map_or(0, |routing| routing.domains.len());
    wait_until("both domains are told", WAIT_MAX, async || hosts() == 2).await;
}
