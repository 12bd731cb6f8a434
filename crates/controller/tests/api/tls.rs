//! `/v2/apps/{app}/tls/` (docs/spec/api.md 4.18).

use serde_json::Value;

use crate::world::{FORBIDDEN, World};

const TLS: &str = "/v2/apps/blog/tls/";

#[tokio::test]
async fn https_is_left_open_until_it_is_set_and_routers_learn_of_it() {
    let world = World::new().await;
    let open = world.get(TLS).await;
    let row = open.json();
    assert_eq!(open.status, 200);
    let fields: Vec<_> = row.as_object().expect("an object").keys().collect();
    assert_eq!(fields, ["uuid", "app", "owner", "created", "updated", "https_enforced"]);
    assert_eq!((&row["owner"], &row["https_enforced"]), (&"alice".into(), &Value::Null));

    let enforced = world.platform.post(TLS, &world.bob, r#"{"https_enforced":true}"#).await;

    assert_eq!(enforced.status, 201, "{}", enforced.text());
    assert_eq!(
        (&enforced.json()["owner"], &enforced.json()["https_enforced"]),
        (&"bob".into(), &true.into())
    );
    assert!(world.platform.routing("blog").edge.https_enforced);
    assert_eq!(world.post(TLS, r#"{"https_enforced":"false"}"#).await.status, 201);
    assert!(!world.platform.routing("blog").edge.https_enforced);
    assert_eq!(world.get(TLS).await.json()["https_enforced"], false);
}

#[tokio::test]
async fn the_same_setting_again_changes_nothing() {
    let world = World::new().await;
    assert_eq!(world.post(TLS, r#"{"https_enforced":true}"#).await.status, 201);

    let again = world.post(TLS, r#"{"https_enforced":true}"#).await;

    assert_eq!(again.both(), (409, r#"{"detail":"alice changed nothing"}"#));
    for open in ["{}", r#"{"https_enforced":null}"#, "{}"] {
        assert_eq!(world.post(TLS, open).await.json()["https_enforced"], Value::Null, "{open}");
    }
}

#[tokio::test]
async fn what_is_no_boolean_is_refused() {
    let world = World::new().await;

    let refused = world.post(TLS, r#"{"https_enforced":"maybe"}"#).await;

    assert_eq!(refused.both(), (400, r#"{"https_enforced":["\"maybe\" is not a valid boolean."]}"#));
}

#[tokio::test]
async fn strangers_neither_read_nor_change_it() {
    let world = World::new().await;

    assert_eq!(world.platform.get(TLS, &world.carol).await.both(), FORBIDDEN);
    assert_eq!(world.platform.post(TLS, &world.carol, "nonsense").await.both(), FORBIDDEN);
}
