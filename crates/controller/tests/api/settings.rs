//! `/v2/apps/{app}/settings/` (docs/spec/api.md 4.16).

use domain::deployment::Replicas;
use serde_json::{Value, json};

use crate::world::{FORBIDDEN, NO_APP, World};

const SETTINGS: &str = "/v2/apps/blog/settings/";
const RULE: &str = r#"{"autoscale":{"web":{"min":2,"max":5,"cpu_percent":40}}}"#;

async fn with_web() -> World {
    let world = World::new().await;
    let body = r#"{"image":"example/web","procfile":{"web":"serve"}}"#;
    assert_eq!(world.post("/v2/apps/blog/builds/", body).await.status, 201);
    world
}

async fn replicas(world: &World) -> Replicas {
    world.platform.running("blog").await[0].replicas
}

async fn settings(world: &World) -> Value {
    world.get(SETTINGS).await.json()
}

#[tokio::test]
async fn a_new_app_is_routable_and_not_in_maintenance() {
    let world = World::new().await;

    let answer = world.platform.get(SETTINGS, &world.bob).await;

    let row = answer.json();
    let text = |name: &str| row[name].as_str().expect("a text");
    let whole = format!(
        r#"{{"uuid":"{}","app":"blog","owner":"alice","autoscale":{{}},"label":{{}},"created":"{}","updated":"{}","maintenance":false,"routable":true,"whitelist":[],"access_log":false,"git_branch":null,"build_kind":null,"stack":"trixie","builder":null,"default_builder":null}}"#,
        text("uuid"),
        text("created"),
        text("updated"),
    );
    assert_eq!(answer.both(), (200, whole.as_str()));
    let said = world.platform.said("blog");
    let updated = format!("appsettings blog-{} updated", &text("uuid")[..7]);
    assert!(said.contains(&updated), "{said:?}");
}

#[tokio::test]
async fn a_change_is_answered_whole_and_makes_no_release() {
    let world = World::new().await;

    let changed = world
        .platform
        .post(SETTINGS, &world.bob, r#"{"maintenance":true,"label":{"team":"bi","n":2}}"#)
        .await;
    let later = world.post(SETTINGS, r#"{"label":{"n":null},"whitelist":["10.0.0.1"]}"#).await;

    assert_eq!(changed.status, 201, "{}", changed.text());
    assert_eq!((&changed.json()["owner"], &changed.json()["maintenance"]), (&json!("bob"), &json!(true)));
    let row = later.json();
    assert_eq!(row["label"], json!({"team": "bi"}));
    assert_eq!((&row["maintenance"], &row["whitelist"]), (&json!(true), &json!(["10.0.0.1"])));
    assert_eq!(settings(&world).await, row);
    assert_eq!(world.get("/v2/apps/blog/releases/").await.json()["count"], 1);
}

#[tokio::test]
async fn the_branch_that_deploys_is_chosen_without_a_release() {
    let world = World::new().await;

    for branch in ["trunk", "*"] {
        let answer = world.post(SETTINGS, &json!({ "git_branch": branch }).to_string()).await;
        assert_eq!((answer.status, &answer.json()["git_branch"]), (201, &json!(branch)));
    }
    let wrong = world.post(SETTINGS, r#"{"git_branch":"a..b"}"#).await;

    assert_eq!(wrong.status, 400);
    assert!(
        wrong.json()["git_branch"][0].as_str().is_some_and(|text| text.contains("not a name of a branch"))
    );
    assert_eq!(settings(&world).await["git_branch"], "*");
    assert_eq!(world.get("/v2/apps/blog/releases/").await.json()["count"], 1);
}

#[tokio::test]
async fn routers_learn_at_once_that_an_app_wants_its_requests_told() {
    let world = with_web().await;

    for (body, wanted) in [(r#"{"access_log":true}"#, true), (r#"{"access_log":"off"}"#, false)] {
        let answer = world.post(SETTINGS, body).await;
        assert_eq!((answer.status, &answer.json()["access_log"]), (201, &json!(wanted)), "{body}");
        assert_eq!(world.platform.routing("blog").edge.access_log, wanted, "{body}");
    }
}

#[tokio::test]
async fn routers_learn_of_maintenance_routability_and_whitelist_at_once() {
    let world = with_web().await;

    for (body, seen) in [
        (r#"{"maintenance":true}"#, (true, true, vec![])),
        (r#"{"routable":false}"#, (true, false, vec![])),
        (r#"{"whitelist":["10.0.0.0/8"]}"#, (true, false, vec!["10.0.0.0/8".to_owned()])),
        (r#"{"maintenance":"0","routable":"t","whitelist":[]}"#, (false, true, vec![])),
    ] {
        assert_eq!(world.post(SETTINGS, body).await.status, 201, "{body}");
        let routing = world.platform.routing("blog");
        assert_eq!((routing.edge.maintenance, routing.routable, routing.edge.whitelist), seen, "{body}");
    }
}

#[tokio::test]
async fn a_rule_scales_the_process_type_before_the_answer_and_survives_releases() {
    let world = with_web().await;
    let auto = Replicas::Auto { min: 2, max: 5, cpu_percent: 40 };

    assert_eq!(world.post(SETTINGS, RULE).await.status, 201);
    assert_eq!(replicas(&world).await, auto);
    assert_eq!(world.post("/v2/apps/blog/config/", r#"{"values":{"A":"1"}}"#).await.status, 201);
    assert_eq!(replicas(&world).await, auto);

    assert_eq!(world.post(SETTINGS, r#"{"autoscale":{"web":null}}"#).await.status, 201);
    assert_eq!(replicas(&world).await, Replicas::Fixed(1));
    assert_eq!(world.get("/v2/apps/blog/releases/").await.json()["count"], 3);
}

#[tokio::test]
async fn a_rule_of_before_the_first_build_holds_from_the_first_deploy_on() {
    let world = World::new().await;
    assert_eq!(world.post(SETTINGS, RULE).await.status, 201);

    let body = r#"{"image":"example/web","procfile":{"web":"serve"}}"#;
    assert_eq!(world.post("/v2/apps/blog/builds/", body).await.status, 201);

    assert_eq!(replicas(&world).await, Replicas::Auto { min: 2, max: 5, cpu_percent: 40 });
}

#[tokio::test]
async fn a_change_that_cannot_run_is_taken_back() {
    let world = with_web().await;
    let before = settings(&world).await;
    world.platform.fail_next_rollout("blog", "no room");

    let failed = world.post(SETTINGS, RULE).await;

    assert_eq!(failed.both(), (400, r#"{"detail":"no room"}"#));
    assert_eq!(settings(&world).await, before);
    assert_eq!(replicas(&world).await, Replicas::Fixed(1));
    assert_eq!(world.get("/v2/apps/blog/releases/v2/").await.json()["failed"], false);
}

#[tokio::test]
async fn an_image_without_a_port_runs_in_an_app_that_is_not_routable() {
    let world = World::new().await;
    let build = r#"{"image":"example/silent"}"#;
    assert_eq!(world.post("/v2/apps/blog/builds/", build).await.status, 400);

    assert_eq!(world.post(SETTINGS, r#"{"routable":false}"#).await.status, 201);
    assert_eq!(world.post("/v2/apps/blog/builds/", build).await.status, 201);

    let back = world.post(SETTINGS, r#"{"routable":true}"#).await;
    assert_eq!(back.status, 400, "{}", back.text());
    assert_eq!(settings(&world).await["routable"], false);
    assert!(!world.platform.routing("blog").routable);
}

#[tokio::test]
async fn a_change_of_nothing_is_a_conflict() {
    let world = World::new().await;

    for body in ["", "{}", r#"{"routable":true}"#, r#"{"maintenance":null}"#, r#"{"unknown":1}"#] {
        let refused = world.post(SETTINGS, body).await;
        assert_eq!(refused.both(), (409, r#"{"detail":"alice changed nothing"}"#), "{body}");
    }
}

#[tokio::test]
async fn wrong_settings_are_refused_in_the_words_of_the_original() {
    let world = World::new().await;

    for (body, status, text) in [
        (r#"{"whitelist":["1.2.3.4.5"]}"#, 400, r#"{"whitelist":["The address 1.2.3.4.5 is not valid"]}"#),
        (r#"{"whitelist":"x"}"#, 400, r#"{"whitelist":["Expected a list of items but got type \"str\"."]}"#),
        (r#"{"routable":"maybe"}"#, 400, r#"{"routable":["\"maybe\" is not a valid boolean."]}"#),
        (
            r#"{"autoscale":{"web":{"min":0,"max":5,"cpu_percent":40}}}"#,
            400,
            r#"{"detail":"min replicas needs to be 1 or higher"}"#,
        ),
        (
            r#"{"autoscale":{"web":{"min":5,"max":4,"cpu_percent":40}}}"#,
            400,
            r#"{"detail":"max replicas can not be smaller than min replicas"}"#,
        ),
        (r#"{"autoscale":{"web":null}}"#, 422, r#"{"detail":"web does not exist under autoscale"}"#),
        (r#"{"label":{"not_exist":null}}"#, 422, r#"{"detail":"not_exist does not exist under label"}"#),
    ] {
        assert_eq!(world.post(SETTINGS, body).await.both(), (status, text), "{body}");
    }
}

#[tokio::test]
async fn settings_are_kept_while_the_engine_is_away() {
    let world = World::new().await;
    world.platform.engine.set_reachable(false);

    let told = world.post(SETTINGS, r#"{"maintenance":true}"#).await;

    assert_eq!(told.status, 503, "{}", told.text());
    assert_eq!(settings(&world).await["maintenance"], true);
}

#[tokio::test]
async fn what_a_collaborator_set_keeps_his_account_alive() {
    let world = World::new().await;
    assert_eq!(world.platform.post(SETTINGS, &world.bob, r#"{"maintenance":true}"#).await.status, 201);

    let cancelled = world.platform.delete("/v2/auth/cancel/", &world.bob).await;

    assert_eq!(cancelled.status, 409, "{}", cancelled.text());
}

#[tokio::test]
async fn only_those_who_may_use_the_app_read_and_change_its_settings() {
    let world = World::new().await;

    for answer in [
        world.platform.get(SETTINGS, &world.carol).await,
        world.platform.post(SETTINGS, &world.carol, "nonsense").await,
    ] {
        assert_eq!(answer.both(), FORBIDDEN);
    }
    assert_eq!(world.platform.get("/v2/apps/none/settings/", &world.carol).await.both(), NO_APP);
}
