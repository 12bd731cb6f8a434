//! Killing the deployer at each of its steps leads to the same end.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::timeout;

use crate::stand_in::{StandIn, StopPoint};
use crate::world::{World, app};

/// Records a change, kills the deployer at the given step, and starts another. Says how it all ended, or
/// nothing where there was no such step.
async fn end_with(change: impl AsyncFn(&World) -> Option<i64>, stop: StopPoint) -> Option<String> {
    let (world, life) = World::with_release().await;
    life.kill().await;
    let deploy = change(&world).await;
    let failing = StandIn::new(world.engine.clone(), stop);
    let stopped = failing.stopped.clone();

    let first = world.start_with(failing);
    let finishes = async {
        match deploy {
            Some(deploy) => drop(first.end_of(deploy).await),
            None => drop(first.controller.wait_for_removal(&app("blog")).await),
        }
    };
    let was_stopped = tokio::select! {
        () = stopped.notified() => true,
        () = finishes => false,
    };
    first.kill().await;

    let second = world.start();
    match deploy {
        Some(deploy) => drop(second.end_of(deploy).await),
        None => {
            let app = app("blog");
            let removal = second.controller.wait_for_removal(&app);
            let removal = timeout(Duration::from_secs(20), removal);
            assert!(removal.await.expect("in time").expect("the store answers"));
        }
    }
    was_stopped.then_some(world.summary().await)
}

/// The one end that a deploy has wherever the deployer is killed.
async fn the_end(change: impl AsyncFn(&World) -> Option<i64> + Copy) -> String {
    let mut ends = Vec::new();
    for stop_at in [StopPoint::Before as fn(usize) -> StopPoint, StopPoint::After] {
        let mut steps = 0;
        while let Some(end) = end_with(change, stop_at(steps)).await {
            ends.push(end);
            steps += 1;
        }
        assert!(steps > 0, "the deployer took a step");
    }
    ends.dedup();
    assert_eq!(ends.len(), 1, "{ends:#?}");
    ends.remove(0)
}

#[tokio::test]
async fn a_release_is_reached() {
    let end = the_end(async |world: &World| Some(world.configured("GOOD").await)).await;

    assert!(end.starts_with("web v3 x1, worker v3 x2 | web=1 worker=2"), "{end}");
}

#[tokio::test]
async fn a_release_that_cannot_run_leaves_the_one_before() {
    let end = the_end(async |world: &World| Some(world.configured("BAD").await)).await;

    assert!(end.starts_with("web v2 x1, worker v2 x2 | web=1 worker=2"), "{end}");
    assert!(end.contains("alice deployed a config that failed"), "{end}");
}

#[tokio::test]
async fn a_scaling_reaches_its_target() {
    let end = the_end(async |world: &World| Some(world.scaled("web=3 worker=0").await)).await;

    assert!(end.starts_with("web v2 x3, worker v2 x0 | web=3 worker=0"), "{end}");
}

#[tokio::test]
async fn a_removal_leaves_nothing() {
    let change = async |world: &World| {
        world.store.remove_app(&app("blog"), Timestamp::now()).await.expect("recorded");
        None
    };

    let end = the_end(change).await;

    assert!(end.starts_with(" |  | "), "{end}");
}
