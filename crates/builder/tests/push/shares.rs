//! Pushes and fetches at once: a share by user.

use std::time::Duration;

use tokio::io::AsyncReadExt as _;

use crate::client::ended;
use crate::world::{World, make_key};

const APP: &[(&str, &str)] = &[("Procfile", "web: ./serve\n")];

#[tokio::test(flavor = "multi_thread")]
async fn one_users_pushes_leave_room_for_others() {
    let world = World::with(|settings| settings.pushes_by_user_max = 2).await;
    for (app, id) in [("wiki", "12"), ("shop", "13")] {
        world.add_app(app, id);
    }
    let bob = make_key(&world.folder.path().join("bob"), "ed25519").await;
    world.hooks.controller().keys.insert(bob, "bob".to_owned());
    world.hooks.controller().apps.insert("bobs".to_owned(), ("14".to_owned(), vec!["bob".to_owned()]));
    let (client, other) = (world.client_with(APP).await, world.client("bob").await);
    other.commit(APP).await;
    world.engine.hold_builds();
    let held = [client.begin_push("blog", "main"), client.begin_push("wiki", "main")];
    world.until("both build", |world| world.engine.built().len() == 2).await;

    let third = client.push("shop", "main").await;
    let others = other.begin_push("bobs", "main");
    world.until("the other user's builds", |world| world.engine.built().len() == 3).await;
    world.engine.let_builds_go();

    third.ended_with(128).shows(&["you have 2 pushes under way", "wait for one of them"]);
    ended(others).await.ended_with(0);
    for pushing in held {
        ended(pushing).await.ended_with(0);
    }
    client.push("shop", "main").await.ended_with(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_fetches_than_a_user_may_have_are_told_so() {
    let world = World::with(|settings| settings.fetches_by_user_max = 0).await;
    let client = world.client_with(APP).await;
    client.push("blog", "main").await.ended_with(0);

    client.clone_of("blog").await.ended_with(128).shows(&["you have 0 fetches under way"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_brings_nothing_does_not_hold_up_others() {
    let world = World::with(|settings| {
        // One at a time: no machine has room for two of these.
        settings.git_memory_bytes = 1 << 50;
        settings.turn_idle_max = Duration::from_millis(200);
    })
    .await;
    let bob = make_key(&world.folder.path().join("bob"), "ed25519").await;
    world.hooks.controller().keys.insert(bob, "bob".to_owned());
    world.hooks.controller().apps.insert("bobs".to_owned(), ("14".to_owned(), vec!["bob".to_owned()]));
    let (client, other) = (world.client("alice").await, world.client("bob").await);
    other.commit(APP).await;
    let mut idle = client.begin_ssh("\"git-receive-pack 'blog.git'\"");
    // Git sends its refs as soon as it runs.
    idle.stdout.as_mut().unwrap().read_exact(&mut [0; 4]).await.unwrap();

    other.push("bobs", "main").await.ended_with(0).shows(&["deployed"]);

    ended(idle).await.shows(&["arrives too slowly while others wait"]);
}
