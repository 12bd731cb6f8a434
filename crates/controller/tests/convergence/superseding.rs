//! A newer deploy takes over at once, and those who wait for an older one get its end.

use controller::deployer::DeployOutcome;
use jiff::Timestamp;
use testkit::{WAIT_MAX, wait_until};

use crate::world::{World, app};

#[tokio::test]
async fn a_newer_release_takes_over_while_an_older_one_is_under_way() {
    let (world, life) = World::with_release().await;
    world.engine.hang(&app("blog"));
    let older = world.configured("A").await;
    life.controller.wake.notify_one();
    wait_until("v3 is told", WAIT_MAX, async || world.wanted().await.contains("v3")).await;

    let newer = world.configured("B").await;
    life.controller.wake.notify_one();
    wait_until("v4 is told", WAIT_MAX, async || world.wanted().await == "web v4 x1, worker v4 x2").await;
    world.engine.resume(&app("blog"));

    assert_eq!(
        (life.end_of(older).await, life.end_of(newer).await),
        (DeployOutcome::Succeeded, DeployOutcome::Succeeded)
    );
    let current = world.store.current_config(&app("blog")).await.expect("a config").config;
    assert_eq!(current.values.keys().collect::<Vec<_>>(), ["A", "B"]);
}

#[tokio::test]
async fn the_caller_of_a_superseded_release_learns_that_its_successor_failed() {
    let (world, life) = World::with_release().await;
    world.engine.hang(&app("blog"));
    let older = world.configured("A").await;
    let newer = world.configured("BAD").await;
    life.controller.wake.notify_one();
    world.engine.resume(&app("blog"));

    let (older, newer) = (life.end_of(older).await, life.end_of(newer).await);

    assert!(matches!(&older, DeployOutcome::Failed { .. }) && older == newer, "{older:?} {newer:?}");
    assert_eq!(world.wanted().await, "web v2 x1, worker v2 x2");
    assert_eq!(world.store.current_release(&app("blog")).await.expect("a release").version, 2);
}

#[tokio::test]
async fn many_deploys_at_once_end_at_the_newest() {
    let (world, life) = World::with_release().await;
    let mut deploys = Vec::new();
    for number in 0..20 {
        deploys.push(world.configured(&format!("A{number}")).await);
        deploys.push(world.scaled(&format!("web={}", number + 2)).await);
        life.controller.wake.notify_one();
    }

    for deploy in deploys {
        life.deploy(deploy).await;
    }

    assert_eq!(world.wanted().await, "web v22 x21, worker v22 x2");
}

#[tokio::test]
async fn a_removal_stops_a_rollout_that_is_under_way() {
    let (world, life) = World::with_release().await;
    world.engine.hang(&app("blog"));
    let deploy = world.configured("A").await;
    life.controller.wake.notify_one();
    wait_until("v3 is told", WAIT_MAX, async || world.wanted().await.contains("v3")).await;

    world.store.remove_app(&app("blog"), Timestamp::now()).await.expect("recorded");
    life.controller.wake.notify_one();

    assert_eq!(life.end_of(deploy).await, DeployOutcome::Removed);
    assert_eq!(world.wanted().await, "");
}
