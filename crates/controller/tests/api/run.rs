//! `/v2/apps/{app}/run` (docs/spec/api.md 4.12).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::build::ProcessResult;

use crate::world::{FORBIDDEN, NO_APP, World};

const RUN: &str = "/v2/apps/blog/run";

#[tokio::test]
async fn a_command_runs_to_its_end_with_the_apps_environment() {
    let world = World::new().await;
    assert_eq!(world.post("/v2/apps/blog/config/", r#"{"values":{"A":"1"}}"#).await.status, 201);
    world.deploy("blog", "example/web").await;
    let finished = ProcessResult { exit_code: 3, output: "out\nerr ü\n".to_owned() };
    world.platform.engine.will_finish(finished);

    let ran = world.platform.post(RUN, &world.bob, r#"{"command":"echo 'ü' | cat"}"#).await;

    assert_eq!(ran.both(), (200, r#"{"exit_code":3,"output":"out\nerr ü\n"}"#));
    let one_off = world.platform.engine.asked().runs.pop().expect("a run");
    assert!(one_off.name.starts_with("blog-run-") && one_off.name.len() == "blog-run-12345".len());
    assert_eq!(one_off.release, 3);
    assert_eq!(one_off.command, Some(vec!["/bin/bash".to_owned(), "-c".to_owned()]));
    assert_eq!(one_off.args, Some(vec!["echo 'ü' | cat".to_owned()]));
    assert_eq!(one_off.env.get("A").map(String::as_str), Some("1"));
    assert_eq!(one_off.deadline_seconds, 1_200);
    // Arguments may be secrets.
    let line = format!("bob on {} runs 'echo'", one_off.name);
    assert!(world.platform.said("blog").contains(&line), "{:?}", world.platform.said("blog"));
}

#[tokio::test]
async fn output_is_answered_byte_by_byte_where_that_is_asked_for() {
    let world = World::new().await;
    world.deploy("blog", "example/web").await;

    let ran = world.post(RUN, r#"{"command":"bytes","encoding":"base64"}"#).await;

    let every_byte: Vec<u8> = (0..=u8::MAX).chain(*b"\r\nno line end").collect();
    let expected =
        serde_json::json!({"exit_code": 0, "output": STANDARD.encode(every_byte), "encoding": "base64"});
    assert_eq!((ran.status, ran.json()), (200, expected));
    let one_off = world.platform.engine.asked().runs.pop().expect("a run");
    assert_eq!(one_off.command.expect("it is whole")[2..], ["bytes"]);
    assert_eq!(one_off.deadline_seconds, 1_200);
    let odd = world.post(RUN, r#"{"command":"x","encoding":"rot13"}"#).await;
    let told =
        r#"{"encoding":["\"rot13\" is none that is offered: leave it out for text, or give \"base64\"."]}"#;
    assert_eq!(odd.both(), (400, told));
}

#[tokio::test]
async fn a_run_needs_a_command_and_a_build() {
    let world = World::new().await;

    for body in ["", "{}", r#"{"command":""}"#, r#"{"command":null}"#] {
        let refused = world.post(RUN, body).await;
        assert_eq!(refused.both(), (400, r#"{"detail":"command is a required field"}"#), "{body}");
    }
    assert_eq!(
        world.post(RUN, r#"{"command":"env"}"#).await.both(),
        (400, r#"{"detail":"No build associated with this release to run this command"}"#)
    );
}

#[tokio::test]
async fn a_run_that_the_engine_cannot_do_is_unavailable() {
    let world = World::new().await;
    world.deploy("blog", "example/web").await;
    world.platform.engine.set_reachable(false);

    let failed = world.post(RUN, r#"{"command":"env"}"#).await;

    assert_eq!(failed.status, 503);
    let detail = failed.json()["detail"].as_str().expect("a text").to_owned();
    assert!(detail.starts_with("blog-run-") && detail.ends_with("the engine is unreachable"), "{detail}");
}

#[tokio::test]
async fn only_those_who_may_use_the_app_run_commands() {
    let world = World::new().await;

    assert_eq!(world.platform.post(RUN, &world.carol, "nonsense").await.both(), FORBIDDEN);
    assert_eq!(world.platform.post("/v2/apps/none/run", &world.carol, "{}").await.both(), NO_APP);
}
