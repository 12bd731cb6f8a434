//! `/v2/apps/{app}/scale/` (docs/spec/api.md 4.10).

use crate::world::{FORBIDDEN, NO_APP, World};

const SCALE: &str = "/v2/apps/blog/scale/";

async fn with_procfile() -> World {
    let world = World::new().await;
    let body = r#"{"image":"example/web","procfile":{"web":"serve","worker":"work"}}"#;
    assert_eq!(world.post("/v2/apps/blog/builds/", body).await.status, 201);
    world
}

async fn structure(world: &World) -> serde_json::Value {
    world.get("/v2/apps/blog/").await.json()["structure"].clone()
}

#[tokio::test]
async fn named_types_are_scaled_and_the_others_stay() {
    let world = with_procfile().await;
    let before = structure(&world).await;

    let scaled = world.platform.post(SCALE, &world.bob, r#"{"worker":"2"}"#).await;

    assert_eq!(scaled.both(), (204, ""));
    let after = structure(&world).await;
    assert_eq!((&after["worker"], &after["web"]), (&2.into(), &before["web"]));
    let running = world.platform.running("blog").await;
    let worker = running.iter().find(|workload| workload.id.process.as_str() == "worker").expect("a worker");
    assert_eq!(worker.replicas.at_least(), 2);
    assert!(
        world.platform.said("blog").contains(&"bob scaled pods worker=2".to_owned()),
        "{:?}",
        world.platform.said("blog")
    );
    assert_eq!(world.get("/v2/apps/blog/releases/").await.json()["count"], 2);
}

#[tokio::test]
async fn no_change_is_fine() {
    let world = with_procfile().await;
    let before = structure(&world).await;

    for body in ["", "{}", r#"{"web":1}"#] {
        assert_eq!(world.post(SCALE, body).await.both(), (204, ""), "{body}");
    }
    assert_eq!(structure(&world).await, before);
}

#[tokio::test]
async fn numbers_that_are_none_are_refused() {
    let world = with_procfile().await;
    let before = structure(&world).await;
    let cases = [
        (r#"{"web":"x"}"#, "Invalid scaling format: invalid literal for int() with base 10: 'x'"),
        (r#"{"web":-1}"#, "Invalid scaling format: ['Must be greater than or equal to zero']"),
        (
            r#"{"web":null}"#,
            "Invalid scaling format: int() argument must be a string, a bytes-like object or a number, not 'NoneType'",
        ),
    ];

    for (body, detail) in cases {
        let wanted = serde_json::json!({"detail": detail}).to_string();
        assert_eq!(world.post(SCALE, body).await.both(), (400, wanted.as_str()), "{body}");
    }
    assert_eq!(world.post(SCALE, r#"{"web":99999999999}"#).await.status, 400);
    assert_eq!(structure(&world).await, before);
}

#[tokio::test]
async fn a_type_that_the_app_does_not_have_is_not_found() {
    let world = with_procfile().await;

    for unknown in ["nope", "Web", "run"] {
        let answer = world.post(SCALE, &format!(r#"{{"{unknown}":1}}"#)).await;
        let wanted = format!(r#"{{"detail":"Container type {unknown} does not exist in application"}}"#);
        assert_eq!(answer.both(), (404, wanted.as_str()));
    }
    assert_eq!(world.post(SCALE, r#"{"cmd":1}"#).await.status, 204);
}

#[tokio::test]
async fn an_app_without_a_build_cannot_be_scaled() {
    let world = World::new().await;

    assert_eq!(
        world.post(SCALE, r#"{"web":1}"#).await.both(),
        (400, r#"{"detail":"No build associated with this release"}"#)
    );
}

#[tokio::test]
async fn a_failed_scaling_leaves_the_old_numbers() {
    let world = with_procfile().await;
    let before = structure(&world).await;
    world.platform.fail_next_rollout("blog", "no room");

    let failed = world.post(SCALE, r#"{"web":3}"#).await;

    assert_eq!(failed.status, 503);
    let detail = failed.json()["detail"].as_str().expect("a text").to_owned();
    assert!(detail.starts_with("(scale): ") && detail.contains("no room"), "{detail}");
    assert_eq!(structure(&world).await, before);
}

#[tokio::test]
async fn only_those_who_may_use_the_app_scale_it() {
    let world = World::new().await;

    assert_eq!(world.platform.post(SCALE, &world.carol, "nonsense").await.both(), FORBIDDEN);
    assert_eq!(world.platform.post("/v2/apps/none/scale/", &world.carol, "{}").await.both(), NO_APP);
}
