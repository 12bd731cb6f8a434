//! `/v2/apps/{app}/builds/` (docs/spec/api.md 4.8).

use crate::world::{FORBIDDEN, NO_APP, World};

const BUILDS: &str = "/v2/apps/blog/builds/";

async fn releases(world: &World) -> serde_json::Value {
    world.get("/v2/apps/blog/releases/").await.json()["results"].clone()
}

#[tokio::test]
async fn an_image_is_pinned_released_and_running_before_the_answer() {
    let world = World::new().await;

    let built = world.platform.post(BUILDS, &world.bob, r#"{"image":"example/web:1"}"#).await;
    let release = releases(&world).await[0].clone();

    let build = built.json();
    let keys = ["owner", "app", "image", "sha", "procfile", "dockerfile", "created", "updated", "uuid"];
    assert_eq!(built.status, 201, "{}", built.text());
    assert_eq!(build.as_object().expect("an object").keys().collect::<Vec<_>>(), keys);
    assert_eq!((&build["owner"], &build["image"]), (&"bob".into(), &"example/web:1".into()));
    assert_eq!((&build["sha"], &build["procfile"]), (&"".into(), &serde_json::json!({})));
    assert_eq!((&release["version"], &release["build"]), (&2.into(), &build["uuid"]));
    assert_eq!(release["summary"], "bob deployed example/web:1");
    let running = world.platform.running("blog").await;
    assert_eq!(running.len(), 1);
    assert_eq!((running[0].id.process.as_str(), running[0].release), ("cmd", 2));
    assert_eq!(running[0].env.get("PORT").map(String::as_str), Some("8080"));
    assert_eq!(world.get("/v2/apps/blog/").await.json()["structure"], serde_json::json!({"cmd": 1}));
    let uuid = build["uuid"].as_str().expect("a text");
    let said = world.platform.said("blog");
    assert!(said.contains(&format!("build blog-{} created", &uuid[..7])), "{said:?}");
}

#[tokio::test]
async fn a_procfile_says_what_runs() {
    let world = World::new().await;
    let body = r#"{"image":"example/web","procfile":{"web":"serve","worker":"work hard"}}"#;

    let built = world.post(BUILDS, body).await;

    assert_eq!(built.json()["procfile"], serde_json::json!({"web": "serve", "worker": "work hard"}));
    assert_eq!(world.get("/v2/apps/blog/").await.json()["structure"]["web"], 1);
}

#[tokio::test]
async fn builds_are_listed_newest_first_and_found_by_id() {
    let world = World::new().await;
    world.deploy("blog", "example/web:1").await;
    let second = world.deploy("blog", "example/web:2").await.json();

    let page = world.get(BUILDS).await.json();

    assert_eq!(page["count"], 2);
    assert_eq!(page["results"][0], second);
    let path = format!("{BUILDS}{}", second["uuid"].as_str().expect("a text"));
    assert_eq!(world.get(&path).await.json(), second);
    let missing = world.get(&format!("{BUILDS}nonsense")).await;
    assert_eq!(missing.both(), (404, r#""No Build matches the given query.""#));
}

#[tokio::test]
async fn wrong_fields_are_refused_and_nothing_is_stored() {
    let world = World::new().await;
    let cases = [
        ("{}", r#"{"image":["This field is required."]}"#),
        (r#"{"image":""}"#, r#"{"image":["This field may not be blank."]}"#),
        (r#"{"image":"a","procfile":null}"#, r#"{"procfile":["This field may not be null."]}"#),
        (
            r#"{"image":"a","procfile":{"web":""}}"#,
            r#"{"procfile":["Command can't be empty for process type"]}"#,
        ),
        (
            r#"{"image":"a","procfile":{"web":null}}"#,
            r#"{"procfile":["Command can't be empty for process type"]}"#,
        ),
        (
            r#"{"image":"a","procfile":{"We b":"x"}}"#,
            r#"{"procfile":["Process types can only contain lowercase alphanumeric characters"]}"#,
        ),
    ];

    for (body, answer) in cases {
        assert_eq!(world.post(BUILDS, body).await.both(), (400, answer), "{body}");
    }
    assert_eq!(world.post(BUILDS, r#"{"image":"a","procfile":[1]}"#).await.status, 400);
    assert_eq!(
        world.post(BUILDS, r#"{"image":"a","sha":"0123456789012345678901234567890123456789x"}"#).await.status,
        400
    );
    assert_eq!(world.get(BUILDS).await.json()["count"], 0);
}

#[tokio::test]
async fn an_image_that_cannot_be_had_is_refused_with_the_reason() {
    let world = World::new().await;
    for image in ["example/missing:9", "example/denied:9", "Not An Image"] {
        let refused = world.post(BUILDS, &serde_json::json!({"image": image}).to_string()).await;
        let detail = refused.json()["detail"].as_str().expect("a text").to_owned();
        assert_eq!(refused.status, 400, "{image}");
        let wanted = match image {
            "example/missing:9" => "image example/missing:9 not found",
            "example/denied:9" => "Permission Denied attempting to pull image example/denied:9",
            _ => "image reference `Not An Image` is not valid",
        };
        assert!(detail.contains(wanted), "{detail}");
    }
    assert!(world.platform.running("blog").await.is_empty());
}

#[tokio::test]
async fn an_image_without_ports_needs_one_in_the_config() {
    let world = World::new().await;

    let silent = world.post(BUILDS, r#"{"image":"example/silent"}"#).await;
    let detail = silent.json()["detail"].as_str().expect("a text").to_owned();

    assert_eq!(silent.status, 400);
    assert!(
        detail.contains("Expose a port or make the app non routable by changing the process type"),
        "{detail}"
    );
    assert_eq!(world.post("/v2/apps/blog/config/", r#"{"values":{"PORT":"9000"}}"#).await.status, 201);
    world.deploy("blog", "example/silent").await;
    assert_eq!(world.platform.running("blog").await[0].env.get("PORT").map(String::as_str), Some("9000"));
}

#[tokio::test]
async fn a_build_that_does_not_start_is_kept_as_failed() {
    let world = World::new().await;
    world.platform.fail_next_rollout("blog", "it exits at once");

    let built = world.post(BUILDS, r#"{"image":"example/web"}"#).await;
    let release = releases(&world).await[0].clone();

    assert_eq!(built.status, 400);
    let detail = built.json()["detail"].as_str().expect("a text").to_owned();
    assert!(detail.starts_with("(app::deploy): ") && detail.contains("it exits at once"), "{detail}");
    assert_eq!((&release["version"], &release["failed"]), (&2.into(), &true.into()));
    let build = world.get(BUILDS).await.json()["results"][0]["uuid"].as_str().expect("a text").to_owned();
    assert_eq!(release["summary"], format!("alice deployed {} which failed", &build[..7]));
    assert!(release["exception"].as_str().expect("a text").starts_with("error: "), "{release}");
}

#[tokio::test]
async fn only_those_who_may_use_the_app_build() {
    let world = World::new().await;

    assert_eq!(world.platform.post(BUILDS, &world.carol, "nonsense").await.both(), FORBIDDEN);
    assert_eq!(world.platform.get(BUILDS, &world.carol).await.both(), FORBIDDEN);
    assert_eq!(world.platform.get("/v2/apps/none/builds/", &world.carol).await.both(), NO_APP);
}

#[tokio::test]
async fn a_build_of_a_source_says_its_kind_and_why() {
    let world = World::new().await;
    let digest = domain::Digest::of(b"slug");
    let push = crate::hooks::build("alice", digest.as_str(), r#"{"web":"serve"}"#);
    let push = push.replacen('{', r#"{"reason":"there is no Dockerfile","#, 1);
    assert_eq!(crate::hooks::tell(&world, "/v2/hooks/build/", &push).await.status, 200);

    let build = world.get(BUILDS).await.json()["results"][0].clone();

    assert_eq!((&build["kind"], &build["reason"]), (&"buildpack".into(), &"there is no Dockerfile".into()));
}
