//! `/v2/apps/{app}/services/` (docs/spec/api.md 4.19).

use crate::world::{FORBIDDEN, NO_APP, World};

const SERVICES: &str = "/v2/apps/blog/services/";
const HOOKS: &str = r#"{"procfile_type":"webhooks","path_pattern":"/hook,~ ^/x/"}"#;

#[tokio::test]
async fn a_service_is_added_changed_listed_and_removed() {
    let world = World::new().await;
    assert_eq!(world.get(SERVICES).await.both(), (200, r#"{"services":[]}"#));

    assert_eq!(world.platform.post(SERVICES, &world.bob, HOOKS).await.both(), (201, ""));
    assert_eq!(world.post(SERVICES, HOOKS).await.both(), (204, ""));
    let changed = r#"{"procfile_type":"webhooks","path_pattern":"/hooks"}"#;
    assert_eq!(world.post(SERVICES, changed).await.both(), (201, ""));
    assert_eq!(world.post(SERVICES, r#"{"procfile_type":"api","path_pattern":"/api"}"#).await.status, 201);

    let listed = r#"{"services":[{"procfile_type":"api","path_pattern":"/api"},{"procfile_type":"webhooks","path_pattern":"/hooks"}]}"#;
    assert_eq!(world.get(SERVICES).await.both(), (200, listed));
    let gone = r#"{"procfile_type":"webhooks"}"#;
    assert_eq!(world.platform.delete_with(SERVICES, &world.alice, gone).await.both(), (204, ""));
    let missing = (404, r#""No Service matches the given query.""#);
    assert_eq!(world.platform.delete_with(SERVICES, &world.alice, gone).await.both(), missing);
}

#[tokio::test]
async fn what_is_no_service_is_refused() {
    let world = World::new().await;

    for (body, text) in [
        (
            r#"{"procfile_type":"Web Hooks","path_pattern":"/a"}"#,
            r#"["Process types can only contain lowercase alphanumeric characters"]"#,
        ),
        (
            r#"{"procfile_type":"web","path_pattern":"/a("}"#,
            r#"["Service value should be valid regex (or set of regex split by comma)"]"#,
        ),
        ("{}", r#"{"procfile_type":["This field is required."],"path_pattern":["This field is required."]}"#),
    ] {
        assert_eq!(world.post(SERVICES, body).await.both(), (400, text), "{body}");
    }
}

#[tokio::test]
async fn services_stay_with_an_app_that_is_transferred_and_go_with_one_that_is_destroyed() {
    let world = World::new().await;
    assert_eq!(world.post(SERVICES, HOOKS).await.status, 201);
    assert_eq!(world.post("/v2/apps/blog/", r#"{"owner":"carol"}"#).await.status, 200);

    assert_eq!(world.platform.get(SERVICES, &world.alice).await.both(), FORBIDDEN);
    assert!(world.platform.get(SERVICES, &world.carol).await.text().contains("webhooks"));

    assert_eq!(world.platform.delete("/v2/apps/blog/", &world.carol).await.status, 204);
    assert_eq!(world.platform.delete("/v2/auth/cancel/", &world.carol).await.status, 204);
}

#[tokio::test]
async fn collaborators_add_and_only_the_owner_removes() {
    let world = World::new().await;
    let gone = r#"{"procfile_type":"webhooks"}"#;
    assert_eq!(world.platform.post(SERVICES, &world.bob, HOOKS).await.status, 201);

    assert_eq!(world.platform.delete_with(SERVICES, &world.bob, gone).await.both(), FORBIDDEN);
    assert_eq!(world.platform.post(SERVICES, &world.carol, HOOKS).await.both(), FORBIDDEN);
    assert_eq!(world.platform.get("/v2/apps/none/services/", &world.carol).await.both(), NO_APP);
}

async fn with_hooks(world: &World) {
    let body = r#"{"image":"example/web","procfile":{"web":"serve","webhooks":"hooks"}}"#;
    assert_eq!(world.post("/v2/apps/blog/builds/", body).await.status, 201);
    assert_eq!(world.post("/v2/apps/blog/scale/", r#"{"webhooks":1}"#).await.status, 204);
}

/// Ports of what runs, by process type, and which paths go where.
async fn state(world: &World) -> (Vec<(String, Option<u16>)>, Vec<(String, String)>) {
    let running = world.platform.running("blog").await;
    let services = world.platform.routing("blog").services;
    (
        running.iter().map(|workload| (workload.id.process.to_string(), workload.port)).collect(),
        services.into_iter().map(|it| (it.process.to_string(), it.path_pattern)).collect(),
    )
}

#[tokio::test]
async fn a_service_makes_its_process_type_listen_and_routers_know_before_the_answer() {
    let world = World::new().await;
    with_hooks(&world).await;
    let ports = |webhooks| vec![("web".to_owned(), Some(8080)), ("webhooks".to_owned(), webhooks)];
    let paths = |patterns: &str| vec![("webhooks".to_owned(), patterns.to_owned())];
    assert_eq!(state(&world).await, (ports(None), vec![]));

    assert_eq!(world.post(SERVICES, HOOKS).await.status, 201);
    assert_eq!(state(&world).await, (ports(Some(8080)), paths("/hook,~ ^/x/")));
    let applied = world.platform.engine.asked().applied.len();
    let changed = r#"{"procfile_type":"webhooks","path_pattern":"/hooks"}"#;
    assert_eq!(world.post(SERVICES, changed).await.status, 201);
    assert_eq!(state(&world).await, (ports(Some(8080)), paths("/hooks")));
    let gone = r#"{"procfile_type":"webhooks"}"#;
    assert_eq!(world.platform.delete_with(SERVICES, &world.alice, gone).await.status, 204);
    assert_eq!(state(&world).await, (ports(Some(8080)), vec![]));

    // Neither other paths nor a removal restart anything, and none of it is a release.
    assert_eq!(world.platform.engine.asked().applied.len(), applied);
    assert_eq!(world.get("/v2/apps/blog/releases/").await.json()["count"], 2);
    assert_eq!(world.post("/v2/apps/blog/config/", r#"{"values":{"A":"1"}}"#).await.status, 201);
    assert_eq!(state(&world).await, (ports(None), vec![]));
}

#[tokio::test]
async fn a_service_whose_process_type_does_not_listen_is_taken_back() {
    let world = World::new().await;
    with_hooks(&world).await;
    world.platform.fail_next_rollout("blog", "no answer at port 8080");

    let refused = world.post(SERVICES, HOOKS).await;

    assert_eq!((refused.status, refused.text().contains("no answer at port 8080")), (400, true));
    assert_eq!(world.get(SERVICES).await.both(), (200, r#"{"services":[]}"#));
    assert!(state(&world).await.1.is_empty());
}

#[tokio::test]
async fn the_type_of_a_service_need_not_exist() {
    let world = World::new().await;
    assert_eq!(world.post(SERVICES, HOOKS).await.status, 201);
    assert_eq!(state(&world).await.1.len(), 1);

    with_hooks(&world).await;

    assert!(state(&world).await.0.contains(&("webhooks".to_owned(), Some(8080))));
}
