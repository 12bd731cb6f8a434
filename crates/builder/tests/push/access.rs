//! Access by key and app, for pushes and clones alike.

use crate::world::{World, make_key};

const APP: &[(&str, &str)] = &[("Procfile", "web: ./serve\n")];

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_nobody_has_is_refused() {
    let world = World::new().await;
    make_key(&world.folder.path().join("stranger"), "ed25519").await;
    let client = world.client("stranger").await;
    client.commit(APP).await;

    client.push("blog", "main").await.ended_with(128).shows(&["ermission denied (publickey)"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_rsa_key_is_accepted_with_sha2() {
    let world = World::new().await;
    let public = make_key(&world.folder.path().join("rsa"), "rsa").await;
    world.hooks.controller().keys.insert(public, "alice".to_owned());
    let client = world.client("rsa").await;
    client.commit(APP).await;

    client.push("blog", "main").await.ended_with(0).shows(&["blog:v2 deployed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_users_app_can_neither_be_pushed_to_nor_cloned() {
    let world = World::new().await;
    world.client_with(APP).await.push("blog", "main").await.ended_with(0);
    let mallory = world.client("mallory").await;
    mallory.commit(APP).await;

    let pushed = mallory.push("blog", "main").await;
    let cloned = mallory.clone_of("blog").await;

    for refused in [pushed, cloned] {
        refused.ended_with(128).shows(&["remote error: mallory may not use the app `blog`", "perms:create"]);
    }
    assert_eq!(world.engine.built().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_a_name_is_another_app() {
    let world = World::new().await;
    let client = world.client_with(APP).await;

    for app in ["blo", "log", "blog2"] {
        client.push(app, "main").await.ended_with(128).shows(&["does not exist", "deis create"]);
    }
    assert!(!world.data_dir().join("repositories/blo").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_can_clone_what_was_pushed_and_an_app_without_a_push_is_empty() {
    let world = World::new().await;
    world.add_app("fresh", "12");
    let client = world.client_with(APP).await;
    client.push("blog", "main").await.ended_with(0);

    client.clone_of("blog").await.ended_with(0);
    client.clone_of("fresh").await.ended_with(0).shows(&["empty repository"]);

    client.done("test -e blog-clone/Procfile").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_was_made_again_has_nothing_of_the_old_one() {
    let world = World::new().await;
    let client = world.client_with(APP).await;
    client.push("blog", "main").await.ended_with(0);

    world.add_app("blog", "22");
    client.clone_of("blog").await.ended_with(0).shows(&["empty repository"]);
    client.push("blog", "main").await.ended_with(0).shows(&["deployed to Workflow"]);

    assert!(!world.repository("blog", "11").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_controller_is_silent_a_push_says_so() {
    let world = World::new().await;
    let client = world.client_with(APP).await;
    world.hooks.controller().silent = true;

    client.push("blog", "main").await.ended_with(128).shows(&["controller does not answer"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn repositories_of_apps_that_are_gone_are_removed_at_the_next_start() {
    let mut world = World::new().await;
    world.add_app("kept", "12");
    let client = world.client_with(APP).await;
    client.push("blog", "main").await.ended_with(0);
    client.push("kept", "main").await.ended_with(0);
    world.hooks.controller().apps.remove("blog");

    world.crash().await;
    world.restart().await;

    world
        .until("the repository is removed", |world| !world.data_dir().join("repositories/blog").exists())
        .await;
    assert!(world.repository("kept", "12").exists());
}
