//! Access to the managed registry, as Distribution itself decides by our tokens.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use domain::registry_access::{AccessKey, STACK_REPOSITORY};
use oci::{Access, OciError};

use crate::world::{KEY, World, app, login, push_image};

fn now() -> i64 {
    let passed = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
    i64::try_from(passed.as_secs()).expect("it is before the end of time")
}

#[tokio::test]
async fn an_app_pulls_its_own_images_and_nothing_else() {
    let world = World::new().await;
    for name in ["blog", "shop", "blog/git"] {
        push_image(&world.as_controller(name, Access::Push), "v1", name).await;
    }
    let pods = || Some(login(AccessKey::new(KEY).for_app(&app("blog"))));

    world.repository("blog", pods(), Access::Pull).manifest("v1").await.expect("it is its own");
    for (name, login) in [("shop", pods()), ("blog/git", pods()), ("blog", None)] {
        let denied = world.repository(name, login, Access::Pull).manifest("v1").await;
        assert!(matches!(denied, Err(OciError::Denied { .. })), "{name}: {denied:?}");
    }
    let push = world.repository("blog", pods(), Access::Push).push_bytes(Bytes::from_static(b"x")).await;
    assert!(matches!(push, Err(OciError::Denied { .. })), "{push:?}");
    let remove = world.repository("blog", pods(), Access::Delete).remove_manifest("v1").await;
    assert!(matches!(remove, Err(OciError::Denied { .. })), "{remove:?}");
}

#[tokio::test]
async fn a_build_pushes_to_its_app_on_top_of_the_stack_until_its_time_is_over() {
    let world = World::new().await;
    push_image(&world.as_controller(STACK_REPOSITORY, Access::Push), "latest", "stack").await;
    let build = |until: i64| Some(login(AccessKey::new(KEY).for_build(&app("blog"), until)));

    let blog = world.repository("blog", build(now() + 60), Access::Push).mounting_from(&[STACK_REPOSITORY]);
    let stack = world.repository(STACK_REPOSITORY, None, Access::Pull);
    let layer = stack.manifest("latest").await.expect("anyone may pull it").content.layers[0].clone();
    assert!(blog.mount_blob(&layer.digest, STACK_REPOSITORY).await.expect("it may"), "it is mounted");
    assert!(blog.has_blob(&layer.digest).await.expect("it may look"));
    push_image(&blog, "v1", "built").await;
    push_image(&world.repository("blog/cache", build(now() + 60), Access::Push), "latest", "cache").await;

    for (name, until) in [("blog", now() - 1), ("shop", now() + 60), (STACK_REPOSITORY, now() + 60)] {
        let pushed =
            world.repository(name, build(until), Access::Push).push_bytes(Bytes::from_static(b"x")).await;
        assert!(matches!(pushed, Err(OciError::Denied { .. })), "{name}: {pushed:?}");
    }
}

#[tokio::test]
async fn nobody_gets_in_with_a_wrong_password() {
    let world = World::new().await;
    let wrong = Some(login(AccessKey::new("another key").for_controller()));

    let denied = world.repository("blog", wrong, Access::Pull).manifest("v1").await;

    assert!(matches!(denied, Err(OciError::Denied { .. })), "{denied:?}");
}
