//! `/v2/hooks/…`, on the internal listener (docs/spec/api.md 4.20, `api::hooks`).

use axum::http::Method;

use crate::platform::{Answer, BUILDER_KEY, request};
use crate::world::{FORBIDDEN, NO_APP, World};

const PUBLIC: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHs9Jk1cpUwvlw3wUqOm2aX5zqIBIFmV1qWjs1yS0yEF";
const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

async fn hook(world: &World, key: &str, method: Method, path: &str, body: &str) -> Answer {
    let mut request = request(method, path, "", body);
    if !key.is_empty() {
        request.headers_mut().insert("x-deis-builder-auth", key.parse().expect("a value"));
    }
    world.platform.send_hook(request).await
}

pub async fn tell(world: &World, path: &str, body: &str) -> Answer {
    hook(world, BUILDER_KEY, Method::POST, path, body).await
}

fn receiver(user: &str, app: &str) -> String {
    format!(r#"{{"receive_user":"{user}","receive_repo":"{app}"}}"#)
}

pub fn build(user: &str, image: &str, procfile: &str) -> String {
    format!(
        r#"{{"receive_user":"{user}","receive_repo":"blog","sha":"1a2b3c4d","image":"{image}",
            "procfile":{procfile},"dockerfile":"","ports":[]}}"#
    )
}

#[tokio::test]
async fn a_key_belongs_to_a_user_whatever_its_comment() {
    let world = World::new().await;
    let body = format!(r#"{{"id":"laptop","public":"{PUBLIC} alice@laptop"}}"#);
    assert_eq!(world.post("/v2/keys/", &body).await.status, 201);

    let owner = tell(&world, "/v2/hooks/key/", &format!(r#"{{"public":"{PUBLIC}"}}"#)).await;
    let other = PUBLIC.replace("0yEF", "0yEG");
    let unknown = tell(&world, "/v2/hooks/key/", &format!(r#"{{"public":"{other}"}}"#)).await;

    assert_eq!(owner.both(), (200, r#"{"username":"alice"}"#));
    assert_eq!(unknown.both(), (404, r#""No Key matches the given query.""#));
    assert_eq!(tell(&world, "/v2/hooks/key/", "{}").await.status, 400);
}

#[tokio::test]
async fn owner_collaborators_and_administrators_may_push_and_nobody_else() {
    let world = World::new().await;
    let ask = async |user: &str, app: &str| tell(&world, "/v2/hooks/access/", &receiver(user, app)).await;

    let uuid = world.get("/v2/apps/blog/").await.json()["uuid"].as_str().expect("a text").to_owned();
    let access = format!(r#"{{"app":"blog","uuid":"{uuid}","stack":"trixie"}}"#);

    for user in ["alice", "bob", "admin"] {
        assert_eq!(ask(user, "blog").await.both(), (200, access.as_str()), "{user}");
    }
    assert_eq!(ask("carol", "blog").await.both(), FORBIDDEN);
    assert_eq!(ask("alice", "none").await.both(), NO_APP);
    assert_eq!(ask("alice", "../blog").await.both(), NO_APP);
    assert_eq!(ask("nobody", "blog").await.both(), (404, r#""No User matches the given query.""#));
    assert_eq!(tell(&world, "/v2/hooks/access/", "{}").await.status, 400);
}

#[tokio::test]
async fn the_builder_reads_the_config_of_the_newest_release() {
    let world = World::new().await;
    assert_eq!(world.post("/v2/apps/blog/config/", r#"{"values":{"A":"1"}}"#).await.status, 201);

    let config = tell(&world, "/v2/hooks/config/", &receiver("bob", "blog")).await;

    assert_eq!((config.status, &config.json()["values"]["A"]), (200, &"1".into()));
    assert_eq!(tell(&world, "/v2/hooks/config/", &receiver("carol", "blog")).await.both(), FORBIDDEN);
}

#[tokio::test]
async fn a_build_is_released_and_running_before_the_answer() {
    let world = World::new().await;

    let done = tell(&world, "/v2/hooks/build/", &build("bob", DIGEST, r#"{"web":"serve"}"#)).await;

    assert_eq!(done.both(), (200, r#"{"release":{"version":2}}"#));
    let release = world.get("/v2/apps/blog/releases/v2/").await.json();
    assert_eq!((&release["summary"], &release["owner"]), (&"bob deployed 1a2b3c4".into(), &"bob".into()));
    let running = world.platform.running("blog").await;
    assert_eq!(running.len(), 1);
    assert_eq!(running[0].image.digest().as_str(), DIGEST);
    assert!(matches!(&running[0].image, domain::Image::Built { app, .. } if app.as_str() == "blog"));
    assert_eq!(running[0].env.get("SOURCE_VERSION").map(String::as_str), Some("1a2b3c4d"));
    assert_eq!(running[0].env.get("PORT").map(String::as_str), Some("5000"));
}

#[tokio::test]
async fn a_build_after_which_nobody_serves_is_told_to_the_pusher_and_in_the_log() {
    let world = World::new().await;
    let push =
        async |procfile: &str| tell(&world, "/v2/hooks/build/", &build("bob", DIGEST, procfile)).await.json();
    assert!(push(r#"{"web":"serve"}"#).await.get("warning").is_none());

    let lost = push(r#"{"veb":"serve"}"#).await;
    let back = push(r#"{"web":"serve"}"#).await;
    assert_eq!(world.post("/v2/apps/blog/scale/", r#"{"web":0}"#).await.status, 204);
    let at_rest = push(r#"{"web":"serve"}"#).await;

    let warning = lost["warning"].as_str().expect("a warning");
    assert!(warning.starts_with("nothing serves this app: its Procfile has no `web`, only veb"), "{lost}");
    assert!(
        world.platform.said("blog").iter().any(|line| line == warning),
        "{:?}",
        world.platform.said("blog")
    );
    assert!(back.get("warning").is_none(), "{back}");
    let warning = at_rest["warning"].as_str().expect("a warning");
    assert!(warning.contains("web is scaled to 0; start it with `deis scale web=1`"), "{at_rest}");
    let silent = world.post("/v2/apps/blog/settings/", r#"{"routable":false}"#).await;
    assert_eq!(silent.status, 201, "{}", silent.text());
    assert!(push(r#"{"web":"serve"}"#).await.get("warning").is_none());
}

#[tokio::test]
async fn the_same_build_again_is_a_release_again() {
    let world = World::new().await;

    for version in [2, 3] {
        let done = tell(&world, "/v2/hooks/build/", &build("alice", DIGEST, r#"{"web":"serve"}"#)).await;
        assert_eq!(done.json()["release"]["version"], version, "{}", done.text());
    }
}

#[tokio::test]
async fn a_build_that_does_not_start_is_told_to_the_builder() {
    let world = World::new().await;
    world.platform.fail_next_rollout("blog", "it exits at once");

    let done = tell(&world, "/v2/hooks/build/", &build("alice", DIGEST, r#"{"web":"serve"}"#)).await;

    assert_eq!(done.status, 400);
    assert!(done.json()["detail"].as_str().expect("a text").contains("it exits at once"), "{}", done.text());
}

#[tokio::test]
async fn the_first_branch_that_is_deployed_is_kept_and_told_to_the_builder() {
    let world = World::new().await;
    let branch = async || {
        let access = tell(&world, "/v2/hooks/access/", &receiver("bob", "blog")).await.json();
        access.get("branch").cloned()
    };
    let pushed = async |branch: &str| {
        let body = build("bob", DIGEST, r#"{"web":"serve"}"#);
        let body = body.replacen('{', &format!(r#"{{"branch":"{branch}","#), 1);
        tell(&world, "/v2/hooks/build/", &body).await
    };

    assert_eq!(branch().await, None);
    world.platform.fail_next_rollout("blog", "it exits at once");
    assert_eq!((pushed("master").await.status, branch().await), (400, None));
    assert_eq!((pushed("main").await.status, branch().await), (200, Some("main".into())));
    assert_eq!((pushed("other").await.status, branch().await), (200, Some("main".into())));
    assert_eq!(pushed("a..b").await.status, 400);
    assert_eq!(world.get("/v2/apps/blog/settings/").await.json()["git_branch"], "main");
}

#[tokio::test]
async fn malformed_builds_are_refused() {
    let world = World::new().await;
    for body in [
        build("alice", "deis/blog:1", "{}"),
        build("alice", "", "{}"),
        build("alice", DIGEST, "null"),
        build("alice", DIGEST, r#"{"we b":"x"}"#),
        receiver("alice", "blog"),
    ] {
        assert_eq!(tell(&world, "/v2/hooks/build/", &body).await.status, 400, "{body}");
    }
    assert_eq!(tell(&world, "/v2/hooks/build/", &build("carol", DIGEST, "{}")).await.both(), FORBIDDEN);
    assert_eq!(world.get("/v2/apps/blog/builds/").await.json()["count"], 0);
}

#[tokio::test]
async fn the_builder_learns_which_apps_there_are() {
    let world = World::new().await;
    world.create("alpha").await;

    let apps = hook(&world, BUILDER_KEY, Method::GET, "/v2/hooks/apps/", "").await;

    assert_eq!(apps.both(), (200, r#"{"apps":["alpha","blog"]}"#));
}

#[tokio::test]
async fn hooks_answer_the_builder_alone_and_only_on_the_internal_listener() {
    let world = World::new().await;
    let no_credentials = r#"{"detail":"Authentication credentials were not provided."}"#;
    let hooks = [
        (Method::POST, "key"),
        (Method::POST, "access"),
        (Method::POST, "config"),
        (Method::POST, "build"),
        (Method::GET, "apps"),
    ];

    for (method, name) in hooks {
        let path = format!("/v2/hooks/{name}/");
        for key in ["", "wrong", "builder-ke", "builder-keyy"] {
            let refused = hook(&world, key, method.clone(), &path, "").await;
            assert_eq!(refused.both(), (401, no_credentials), "{path} {key}");
        }
        let mut public = request(method, &path, &world.admin, "");
        public.headers_mut().insert("x-deis-builder-auth", BUILDER_KEY.parse().expect("a value"));
        assert_eq!(world.platform.send(public).await.status, 404, "{path}");
    }
}
