//! A failure leaves the previous release running.

use controller::deployer::DeployOutcome;

use crate::world::{World, app};

#[tokio::test]
async fn a_failed_rollout_keeps_the_old_release_and_says_why() {
    let (world, life) = World::with_release().await;
    world.engine.fail_next_rollout(&app("blog"), "web crashed: exit code 1");

    let ended = life.end_of(world.built("blog", "web worker").await).await;

    let notice = "There was a problem deploying v3. Rolling back process types to release v2.";
    assert_eq!(ended, DeployOutcome::Failed { reason: format!("{notice}\nweb crashed: exit code 1") });
    assert_eq!(world.wanted().await, "web v2 x1, worker v2 x2");
    assert!(world.said().contains(&notice.to_owned()), "{:?}", world.said());
    let failed = world.store.release(&app("blog"), 3).await.expect("an answer").expect("a release");
    assert!(failed.failed && failed.summary.ends_with(" which failed"), "{}", failed.summary);
}

#[tokio::test]
async fn a_process_type_that_started_goes_back_when_another_does_not_start() {
    let (world, life) = World::with_release().await;

    let ended = life.end_of(world.configured("BAD").await).await;

    assert!(
        matches!(ended, DeployOutcome::Failed { reason } if reason.ends_with("start blog-worker: it is bad"))
    );
    assert_eq!(world.wanted().await, "web v2 x1, worker v2 x2");
}

#[tokio::test]
async fn the_next_change_after_a_failure_works() {
    let (world, life) = World::with_release().await;
    let _ = life.end_of(world.configured("BAD").await).await;

    life.deploy(world.configured("GOOD").await).await;

    assert_eq!(world.wanted().await, "web v4 x1, worker v4 x2");
}

#[tokio::test]
async fn a_first_release_that_fails_leaves_nothing_running() {
    let world = World::new().await;
    let life = world.start();
    world.engine.fail_next_rollout(&app("blog"), "it never listened on port 5000");

    let ended = life.end_of(world.built("blog", "web").await).await;

    assert_eq!(ended, DeployOutcome::Failed { reason: "it never listened on port 5000".to_owned() });
    assert_eq!(world.wanted().await, "");
    assert_eq!(world.store.structure(&app("blog")).await.expect("an answer").len(), 0);
}

#[tokio::test]
async fn a_failed_scaling_restores_the_old_numbers() {
    let (world, life) = World::with_release().await;
    world.engine.fail_next_rollout(&app("blog"), "no room");

    let ended = life.end_of(world.scaled("web=9").await).await;

    assert_eq!(ended, DeployOutcome::Failed { reason: "no room".to_owned() });
    assert_eq!(world.wanted().await, "web v2 x1, worker v2 x2");
    assert_eq!(
        domain::structure::in_words(&world.store.structure(&app("blog")).await.expect("an answer")),
        "web=1 worker=2"
    );
}

#[tokio::test]
async fn process_types_that_a_failed_release_lacks_run_on() {
    let (world, life) = World::with_release().await;
    world.engine.fail_next_rollout(&app("blog"), "it crashed");

    let _ = life.end_of(world.built("blog", "web").await).await;

    assert_eq!(world.wanted().await, "web v2 x1, worker v2 x2");
}

#[tokio::test]
async fn records_that_cannot_be_opened_fail_the_deploy_with_their_name() {
    let (mut world, life) = World::with_release().await;
    life.kill().await;
    world.reopen_with_another_key().await;
    let life = world.start();

    let ended = life.end_of(world.scaled("web=2").await).await;

    assert!(
        matches!(&ended, DeployOutcome::Failed { reason } if reason.contains("config blog is damaged")),
        "{ended:?}"
    );
    assert_eq!(world.wanted().await, "web v2 x1, worker v2 x2");
}
