//! Images of old releases and of destroyed apps go; what runs and what can be rolled back to stays.

use controller::retention::Retention;
use domain::retention::GRACE;
use domain::{AppName, Digest};
use engine::Images as _;
use jiff::Timestamp;

use crate::hooks::{build, tell};
use crate::platform::TestPlatform;
use crate::world::World;

const ROLLBACK: &str = "/v2/apps/blog/releases/rollback/";

async fn world() -> World {
    World::on(TestPlatform::with(|settings| settings.builds_kept = 2).await).await
}

fn digest(number: usize) -> Digest {
    Digest::of(format!("build {number}").as_bytes())
}

async fn push(world: &World, number: usize) -> u16 {
    let body = build("alice", digest(number).as_str(), r#"{"web":"serve"}"#);
    tell(world, "/v2/hooks/build/", &body).await.status
}

/// Two passes, one grace period apart.
async fn passes(world: &World) -> [usize; 2] {
    let mut retention = Retention::new(world.platform.controller.clone());
    let now = Timestamp::now();
    [retention.pass(now).await, retention.pass(now + GRACE).await]
}

/// Numbers of the builds whose images are stored for `blog`.
async fn stored(world: &World) -> Vec<usize> {
    let stored = world.platform.engine.stored(&[]).await.expect("reachable");
    let blog = AppName::parse("blog").expect("a good name");
    (1..9).filter(|number| stored.contains(&(blog.clone(), digest(*number)))).collect()
}

#[tokio::test]
async fn images_of_old_releases_go_after_the_grace_period_and_a_rollback_to_them_says_so() {
    let world = world().await;
    for number in 1..=4 {
        assert_eq!(push(&world, number).await, 200);
    }
    assert_eq!(world.post("/v2/apps/blog/config/", r#"{"values":{"A":"1"}}"#).await.status, 201);

    assert_eq!(passes(&world).await, [0, 2]);

    assert_eq!(stored(&world).await, [3, 4]);
    let gone = world.post(ROLLBACK, r#"{"version":2}"#).await;
    assert_eq!(gone.status, 400, "{}", gone.text());
    let reason = "Cannot roll back to v2: its image was removed, only the last 2 builds are kept. Push that commit again.";
    assert_eq!(gone.json()["detail"], reason);
    assert_eq!(world.get("/v2/apps/blog/releases/").await.json()["count"], 6, "a release was recorded");
    assert_eq!(world.post(ROLLBACK, r#"{"version":4}"#).await.status, 201);
    assert_eq!(passes(&world).await, [0, 0]);
}

#[tokio::test]
async fn a_push_that_fails_pushes_no_good_image_out_and_its_own_goes() {
    let world = world().await;
    assert_eq!((push(&world, 1).await, push(&world, 2).await), (200, 200));
    for number in 3..=5 {
        world.platform.fail_next_rollout("blog", "it exits at once");
        assert_eq!(push(&world, number).await, 400);
    }

    assert_eq!(passes(&world).await, [0, 2]);

    assert_eq!(stored(&world).await, [1, 2, 5]);
}

#[tokio::test]
async fn images_of_a_destroyed_app_go_and_an_engine_that_is_away_loses_none() {
    let world = world().await;
    let ghost = AppName::parse("ghost").expect("a good name");
    let image = domain::Image::Built { app: ghost.clone(), digest: digest(1) };
    world.platform.engine.keep(&ghost, &image).await.expect("reachable");
    assert_eq!(push(&world, 1).await, 200);

    world.platform.engine.set_reachable(false);
    assert_eq!(passes(&world).await, [0, 0]);
    world.platform.engine.set_reachable(true);
    assert_eq!(passes(&world).await, [0, 1]);

    assert_eq!(stored(&world).await, [1]);
    assert!(!world.platform.engine.stored(&[]).await.expect("reachable").contains(&(ghost, digest(1))));
}
