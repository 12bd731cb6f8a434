//! Two pushes at once, clients that leave, builders that stop or crash.

use std::time::Duration;

use crate::client::ended;
use crate::world::World;

const APP: &[(&str, &str)] = &[("Procfile", "web: ./serve\n")];

async fn until_building(world: &World) {
    world.until("the build runs", |world| !world.engine.built().is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_push_to_the_app_is_turned_away_while_others_and_reads_go_on() {
    let world = World::new().await;
    world.add_app("wiki", "12");
    let client = world.client_with(APP).await;
    world.engine.hold_builds();
    let first = client.begin_push("blog", "main");
    until_building(&world).await;

    let second = client.push("blog", "main").await;
    let read = client.run(&format!("git ls-remote {}", client.url("blog"))).await;
    let other = client.begin_push("wiki", "main");
    world.until("both build", |world| world.engine.built().len() == 2).await;
    world.engine.let_builds_go();

    second.ended_with(128).shows(&["fatal: remote error: Another git push is ongoing"]);
    read.ended_with(0);
    // The order of the two releases is not defined.
    ended(first).await.ended_with(0).shows(&["blog:v", " deployed"]);
    ended(other).await.ended_with(0).shows(&["wiki:v", " deployed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pusher_who_leaves_does_not_end_the_push() {
    let world = World::new().await;
    let client = world.client_with(APP).await;
    world.engine.hold_builds();
    let mut pushing = client.begin_push("blog", "main");
    until_building(&world).await;

    // The whole group: git and the ssh that it started.
    let group = nix::unistd::Pid::from_raw(i32::try_from(pushing.id().unwrap()).unwrap());
    nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL).unwrap();
    pushing.wait().await.unwrap();
    client.push("blog", "main").await.ended_with(128).shows(&["Another git push is ongoing"]);
    world.engine.let_builds_go();

    world.until("the build is released", |world| world.hooks.controller().released.len() == 1).await;
    let branch = world.repository("blog", "11").join("refs/heads/main");
    world.until("the branch moves", |_| branch.exists()).await;
    let again = async {
        loop {
            let again = client.push("blog", "main").await;
            if !again.text.contains("Another git push is ongoing") {
                return again;
            }
        }
    };
    let again = tokio::time::timeout(Duration::from_secs(30), again).await.expect("the lock is never freed");
    again.ended_with(0).shows(&["Everything up-to-date"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_builder_that_is_told_to_stop_tells_the_pusher() {
    let world = World::with(|settings| settings.drain_timeout = Duration::from_millis(50)).await;
    let client = world.client_with(APP).await;
    world.engine.hold_builds();
    let pushing = client.begin_push("blog", "main");
    until_building(&world).await;

    world.ask_to_stop();

    ended(pushing).await.ended_with(1).shows(&["the platform is stopping; push again"]);
    assert!(world.hooks.controller().released.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_builder_that_is_told_to_stop_lets_a_push_end() {
    let world = World::new().await;
    let client = world.client_with(APP).await;
    world.engine.hold_builds();
    let pushing = client.begin_push("blog", "main");
    until_building(&world).await;

    world.ask_to_stop();
    world.engine.let_builds_go();

    ended(pushing).await.ended_with(0).shows(&["blog:v2 deployed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_a_crash_left_becomes_a_line_in_the_log() {
    let mut world = World::new().await;
    world.crash().await;
    std::fs::create_dir_all(world.data_dir().join("builds")).unwrap();
    let record = world.data_dir().join("builds/blog.json");
    std::fs::write(&record, r#"{"app":"blog","sha":"12345678","stage":"building"}"#).unwrap();

    world.restart().await;

    world.until("the record is gone", |_| !record.exists()).await;
    let log = world.log("blog");
    assert!(
        log.contains("ERROR build 12345678 failed: the platform stopped while it ran; push again"),
        "{log}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_crash_left_in_the_repository_does_not_stop_the_next_push() {
    let world = World::new().await;
    let client = world.client_with(APP).await;
    client.push("blog", "main").await.ended_with(0);
    let repository = world.repository("blog", "11");
    let quarantine = repository.join("objects/tmp_objdir-incoming-x1");
    std::fs::create_dir(&quarantine).unwrap();
    std::fs::write(repository.join("refs/heads/main.lock"), "").unwrap();
    std::fs::write(repository.join("HEAD.lock"), "").unwrap();

    client.commit(&[("x", "1")]).await;
    client.push("blog", "main").await.ended_with(0).shows(&["blog:v3 deployed"]);

    assert!(!quarantine.exists());
}
