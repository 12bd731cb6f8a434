//! `/v2/apps/{app}/config/` (docs/spec/api.md 4.7). The rules themselves are tested in `domain`.

use futures_util::future::join_all;
use testkit::{WAIT_MAX, wait_until};

use crate::world::{FORBIDDEN, NO_APP, World};

const CONFIG: &str = "/v2/apps/blog/config/";

async fn latest(world: &World) -> serde_json::Value {
    world.get("/v2/apps/blog/releases/").await.json()["results"][0].clone()
}

#[tokio::test]
async fn a_new_app_has_an_empty_config_in_this_order() {
    let world = World::new().await;

    let config = world.get(CONFIG).await.json();

    let keys = [
        "uuid",
        "app",
        "owner",
        "values",
        "memory",
        "lifecycle_post_start",
        "lifecycle_pre_stop",
        "cpu",
        "tags",
        "registry",
        "healthcheck",
        "termination_grace_period",
        "created",
        "updated",
    ];
    assert_eq!(config.as_object().expect("an object").keys().collect::<Vec<_>>(), keys);
    for group in &keys[3..12] {
        assert_eq!(config[group], serde_json::json!({}), "{group}");
    }
    assert_eq!((&config["app"], &config["owner"]), (&"blog".into(), &"alice".into()));
}

#[tokio::test]
async fn setting_a_variable_makes_a_release() {
    let world = World::new().await;

    let body = r#"{"values":{"COLOR":"teal","N":5,"T":true,"U":"ü\n"}}"#;
    let changed = world.platform.post(CONFIG, &world.bob, body).await;
    let release = latest(&world).await;

    assert_eq!(changed.status, 201);
    assert_eq!(
        changed.json()["values"],
        serde_json::json!({"COLOR": "teal", "N": "5", "T": "True", "U": "ü\n"})
    );
    assert_eq!(world.get(CONFIG).await.text(), changed.text());
    assert_eq!((&release["version"], &release["failed"]), (&2.into(), &false.into()));
    assert_eq!((&release["owner"], &release["config"]), (&"bob".into(), &changed.json()["uuid"]));
    let summary = release["summary"].as_str().expect("a text");
    assert!(summary.starts_with("bob added ") && summary.contains("COLOR"), "{summary}");
    assert!(
        world.platform.said("blog").iter().all(|line| !line.contains("teal")),
        "{:?}",
        world.platform.said("blog")
    );
}

#[tokio::test]
async fn a_change_of_a_running_app_is_deployed_before_the_answer() {
    let world = World::new().await;
    world.deploy("blog", "example/web").await;

    let changed = world.post(CONFIG, r#"{"values":"{\"COLOR\":\"teal\"}"}"#).await;

    assert_eq!(changed.status, 201, "{}", changed.text());
    let running = world.platform.running("blog").await;
    assert_eq!(running.len(), 1);
    assert_eq!(running[0].release, 3);
    assert_eq!(running[0].env.get("COLOR").map(String::as_str), Some("teal"));
}

#[tokio::test]
async fn a_change_that_cannot_be_deployed_fails_and_leaves_what_ran() {
    let world = World::new().await;
    world.deploy("blog", "example/web").await;
    world.platform.fail_next_rollout("blog", "no luck");

    let changed = world.post(CONFIG, r#"{"values":{"COLOR":"teal"}}"#).await;
    let release = latest(&world).await;

    assert_eq!(changed.status, 400);
    let detail = changed.json()["detail"].as_str().expect("a text").to_owned();
    assert!(detail.starts_with("(app::deploy): ") && detail.contains("no luck"), "{detail}");
    assert_eq!((&release["version"], &release["failed"]), (&3.into(), &true.into()));
    assert_eq!(release["summary"], "alice deployed a config that failed");
    assert_eq!(world.get(CONFIG).await.json()["values"], serde_json::json!({}));
}

#[tokio::test]
async fn a_change_goes_on_when_the_client_hangs_up() {
    let world = World::new().await;
    world.deploy("blog", "example/web").await;
    let app = domain::AppName::parse("blog").expect("a good name");
    world.platform.engine.hang(&app);
    let asked = world.platform.engine.asked().applied.len();

    let mut change = Box::pin(world.post(CONFIG, r#"{"values":{"COLOR":"teal"}}"#));
    let under_way = wait_until("the change is under way", WAIT_MAX, async || {
        world.platform.engine.asked().applied.len() > asked
    });
    tokio::select! {
        answer = &mut change => panic!("answered before it runs: {}", answer.text()),
        () = under_way => {}
    }
    drop(change);
    world.platform.engine.resume(&app);
    let next = world.post(CONFIG, r#"{"values":{"SIZE":"big"}}"#).await;

    assert_eq!(next.json()["values"], serde_json::json!({"COLOR": "teal", "SIZE": "big"}));
    let running = world.platform.running("blog").await;
    assert_eq!((running.len(), running[0].release), (1, 4));
}

#[tokio::test]
async fn a_change_of_nothing_is_refused_and_leaves_no_trace() {
    let world = World::new().await;
    assert_eq!(world.post(CONFIG, r#"{"values":{"A":"1"}}"#).await.status, 201);

    for body in ["", "{}", r#"{"values":{}}"#, r#"{"values":{"A":"1"}}"#, r#"{"unknown":1}"#] {
        let refused = world.post(CONFIG, body).await;
        let detail = r#"{"detail":"alice changed nothing - release stopped"}"#;
        assert_eq!(refused.both(), (409, detail), "{body}");
    }
    assert_eq!(latest(&world).await["version"], 2);
}

#[tokio::test]
async fn wrong_input_is_refused_by_field() {
    let world = World::new().await;
    let cases = [
        (r#"{"values":{"9":"x"}}"#, 400, "values"),
        (r#"{"values":{"PORT":"x"}}"#, 400, "values"),
        (r#"{"values":null}"#, 400, "values"),
        (r#"{"values":[1]}"#, 400, "values"),
        (r#"{"values":"nonsense"}"#, 400, "values"),
        (r#"{"memory":{"web":"128Mi"}}"#, 400, "memory"),
        (r#"{"cpu":{"web":"foo"}}"#, 400, "cpu"),
        (r#"{"tags":{"a b":"c"}}"#, 400, "tags"),
        (r#"{"healthcheck":{"web":{"x":{}}}}"#, 400, "healthcheck"),
        (r#"{"termination_grace_period":{"web":"x"}}"#, 400, "termination_grace_period"),
        (r#"{"values":{"NOPE":null}}"#, 422, "detail"),
        (r#"{"registry":{"username":"x","password":"y"}}"#, 400, "detail"),
    ];

    for (body, status, field) in cases {
        let refused = world.post(CONFIG, body).await;
        assert_eq!(refused.status, status, "{body}: {}", refused.text());
        assert!(refused.json().get(field).is_some(), "{body}: {}", refused.text());
    }
    let null = world.post(CONFIG, r#"{"values":null}"#).await;
    assert_eq!(null.text(), r#"{"values":["This field may not be null."]}"#);
    let unset = world.post(CONFIG, r#"{"values":{"NOPE":null}}"#).await;
    assert_eq!(unset.text(), r#"{"detail":"NOPE does not exist under values"}"#);
    assert_eq!(latest(&world).await["version"], 1);
}

#[tokio::test]
async fn tags_that_no_node_carries_are_refused() {
    let world = World::new().await;

    let refused = world.post(CONFIG, r#"{"tags":{"rack":"9"}}"#).await;

    assert_eq!(refused.both(), (400, r#"{"detail":"No nodes matched the provided labels: rack=9"}"#));
}

#[tokio::test]
async fn strangers_neither_read_nor_change_a_config() {
    let world = World::new().await;

    assert_eq!(world.platform.get(CONFIG, &world.carol).await.both(), FORBIDDEN);
    assert_eq!(world.platform.post(CONFIG, &world.carol, "nonsense").await.both(), FORBIDDEN);
    assert_eq!(world.platform.post("/v2/apps/none/config/", &world.carol, "{}").await.both(), NO_APP);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_changes_at_once_are_all_kept_and_numbered_without_a_gap() {
    const CHANGES: usize = 50;
    let world = World::new().await;
    world.deploy("blog", "example/web").await;

    let changes = (0..CHANGES).map(|number| {
        let world = &world;
        async move {
            let body = format!(r#"{{"values":{{"KEY_{number}":"{number}"}}}}"#);
            world.post(CONFIG, &body).await
        }
    });
    for answer in join_all(changes).await {
        assert_eq!(answer.status, 201, "{}", answer.text());
    }

    let values = world.get(CONFIG).await.json()["values"].clone();
    assert_eq!(values.as_object().expect("an object").len(), CHANGES);
    let page = world.get("/v2/apps/blog/releases/?limit=1000").await.json();
    let releases = page["results"].as_array().expect("a list");
    let versions: Vec<_> =
        releases.iter().map(|release| release["version"].as_u64().expect("a number")).collect();
    let newest = CHANGES as u64 + 2;
    assert_eq!(versions, (1..=newest).rev().collect::<Vec<_>>());
    assert!(releases.iter().all(|release| release["failed"] == false));
    let running = world.platform.running("blog").await;
    assert_eq!((running.len(), running[0].release), (1, newest));
    assert_eq!(running[0].env.keys().filter(|name| name.starts_with("KEY_")).count(), CHANGES);
}

#[tokio::test]
async fn a_config_of_more_than_64_kib_is_refused_on_its_field_and_makes_no_release() {
    let world = World::new().await;
    let body = serde_json::json!({"values": {"LARGE": "x".repeat(64 << 10)}}).to_string();

    let refused = world.platform.post(CONFIG, &world.bob, &body).await;

    assert_eq!(refused.status, 400);
    let text = refused.json()["values"][0].as_str().expect("a text").to_owned();
    assert!(text.contains("65541 bytes") && text.contains("at most 65536 (64 KiB)"), "{text}");
    assert_eq!(latest(&world).await["version"], 1);
}
