//! `/v2/apps/` and `/v2/apps/{app}/` (docs/spec/api.md 4.5).

use crate::world::{FORBIDDEN, NO_APP, World};

fn ids(page: &serde_json::Value) -> Vec<&str> {
    let results = page["results"].as_array().expect("a list");
    results.iter().map(|app| app["id"].as_str().expect("a text")).collect()
}

#[tokio::test]
async fn a_new_app_has_a_first_release_a_domain_and_settings() {
    let world = World::new().await;

    let created = world.post("/v2/apps/", r#"{"id":"shop","structure":{"web":9},"owner":"bob"}"#).await;
    let info = world.get("/v2/apps/shop/").await;
    let release = world.get("/v2/apps/shop/releases/v1/").await.json();

    let app = created.json();
    let (uuid, time) = (app["uuid"].as_str().expect("a text"), app["created"].as_str().expect("a text"));
    let whole = format!(
        r#"{{"uuid":"{uuid}","id":"shop","owner":"alice","structure":{{}},"created":"{time}","updated":"{time}"}}"#
    );
    assert_eq!(created.both(), (201, whole.as_str()));
    assert_eq!(info.both(), (200, whole.as_str()));
    assert_eq!(release["summary"], "alice created initial release");
    assert_eq!(world.get("/v2/apps/shop/domains/").await.json()["results"][0]["domain"], "shop");
    assert_eq!(world.get("/v2/apps/shop/settings/").await.status, 200);
    let said = world.platform.said("shop");
    for start in ["config shop-", "alice created initial release", "appsettings shop-", "domain shop added"] {
        assert!(said.iter().any(|line| line.starts_with(start)), "{start}: {said:?}");
    }
}

#[tokio::test]
async fn an_app_without_a_name_gets_one() {
    let world = World::new().await;

    for body in ["", "{}", r#"{"id":null}"#] {
        let created = world.post("/v2/apps/", body).await;
        assert_eq!(created.status, 201, "{body:?}");
        let id = created.json()["id"].as_str().expect("a text").to_owned();
        assert_eq!(id.split('-').map(str::len).collect::<Vec<_>>(), [6, 8], "{id}");
    }
}

#[tokio::test]
async fn what_is_no_free_app_name_is_refused() {
    let world = World::new().await;
    let long = "a".repeat(64);
    let rule = "App name must start with an alphabetic character, cannot end with a hyphen and can only \
                contain a-z (lowercase), 0-9 and hyphens.";
    let cases = [
        ("", "This field may not be blank."),
        (" ", "This field may not be blank."),
        (long.as_str(), "Ensure this field has no more than 63 characters."),
        ("Blog", rule),
        ("9blog", rule),
        ("blog-", rule),
        ("a.b", rule),
        ("../blog", rule),
        ("deis", "deis is a reserved name."),
        ("de1s", "de1s is easily taken for the reserved name deis; choose another."),
        ("deisbuilder", "deisbuilder is easily taken for the reserved name deis-builder; choose another."),
        ("xn--des-oma", "xn--des-oma is easily taken for the reserved name deis; choose another."),
        ("blog", "Application with this id already exists."),
    ];

    for (id, message) in cases {
        let body = serde_json::json!({"id": id}).to_string();
        let refused = world.post("/v2/apps/", &body).await;
        assert_eq!(
            refused.both(),
            (400, serde_json::json!({"id": [message]}).to_string().as_str()),
            "{id:?}"
        );
    }
}

#[tokio::test]
async fn users_see_their_own_apps_and_those_they_work_on_administrators_all() {
    let world = World::new().await;
    let platform = &world.platform;
    world.create("alpha").await;
    assert_eq!(platform.post("/v2/apps/", &world.carol, r#"{"id":"cafe"}"#).await.status, 201);

    assert_eq!(ids(&world.get("/v2/apps/").await.json()), ["alpha", "blog"]);
    assert_eq!(ids(&platform.get("/v2/apps/", &world.bob).await.json()), ["blog"]);
    assert_eq!(ids(&platform.get("/v2/apps/", &world.carol).await.json()), ["cafe"]);
    assert_eq!(ids(&platform.get("/v2/apps/", &world.admin).await.json()), ["alpha", "blog", "cafe"]);
    let page = platform.get("/v2/apps/?limit=1&offset=1", &world.admin).await.json();
    assert_eq!((ids(&page), page["count"].as_u64()), (vec!["blog"], Some(3)));
    assert_eq!(page["next"], "http://deis.example.com/v2/apps/?limit=1&offset=2");
    assert_eq!(page["previous"], "http://deis.example.com/v2/apps/?limit=1");
}

#[tokio::test]
async fn strangers_may_not_look_at_an_app_and_a_missing_one_is_missing_for_all() {
    let world = World::new().await;
    let platform = &world.platform;

    for (token, answer) in [(&world.carol, FORBIDDEN), (&world.alice, NO_APP)] {
        let app = if answer == NO_APP { "none" } else { "blog" };
        let path = format!("/v2/apps/{app}/");
        assert_eq!(platform.get(&path, token).await.both(), answer);
        assert_eq!(platform.post(&path, token, "{}").await.both(), answer);
        assert_eq!(platform.delete(&path, token).await.both(), answer);
    }
    assert_eq!(platform.get("/v2/apps/blog", &world.bob).await.status, 200);
    assert_eq!(platform.get("/v2/apps/blog/", &world.admin).await.status, 200);
}

#[tokio::test]
async fn an_app_is_given_away_with_all_that_is_the_old_owners() {
    let world = World::new().await;
    let platform = &world.platform;
    let path = "/v2/apps/blog/";
    let body = r#"{"owner":"carol"}"#;

    assert_eq!(platform.post(path, &world.bob, body).await.both(), FORBIDDEN);
    assert_eq!(
        world.post(path, r#"{"owner":"nobody"}"#).await.both(),
        (404, r#""No User matches the given query.""#)
    );
    assert_eq!(platform.post(path, &world.bob, "").await.both(), (200, ""));
    assert_eq!(world.post(path, body).await.both(), (200, ""));

    assert_eq!(world.get(path).await.both(), FORBIDDEN);
    assert_eq!(platform.get(path, &world.carol).await.json()["owner"], "carol");
    for part in ["config/", "releases/v1/", "settings/"] {
        let row = platform.get(&format!("{path}{part}"), &world.carol).await.json();
        assert_eq!(row["owner"], "carol", "{part}");
    }
    let domains = platform.get(&format!("{path}domains/"), &world.carol).await.json();
    assert_eq!(domains["results"][0]["owner"], "carol");
    assert_eq!(platform.get(path, &world.bob).await.status, 200);
}

#[tokio::test]
async fn a_deleted_app_is_gone_with_what_ran_and_its_name_is_free() {
    let world = World::new().await;
    world.deploy("blog", "example/web").await;
    assert!(!world.platform.running("blog").await.is_empty());

    assert_eq!(world.platform.delete("/v2/apps/blog/", &world.bob).await.both(), FORBIDDEN);
    let deleted = world.delete("/v2/apps/blog/").await;

    assert_eq!(deleted.both(), (204, ""));
    assert_eq!(world.get("/v2/apps/blog/").await.both(), NO_APP);
    assert!(world.platform.running("blog").await.is_empty());
    world.create("blog").await;
}
