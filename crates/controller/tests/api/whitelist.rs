//! `/v2/apps/{app}/whitelist/` (docs/spec/api.md 4.17).

use serde_json::{Value, json};

use crate::world::{FORBIDDEN, World};

const WHITELIST: &str = "/v2/apps/blog/whitelist/";

async fn listed(world: &World) -> Value {
    world.get(WHITELIST).await.json()["addresses"].clone()
}

#[tokio::test]
async fn addresses_are_added_listed_and_removed_and_routers_learn_of_it() {
    let world = World::new().await;
    assert_eq!(world.get(WHITELIST).await.both(), (200, r#"{"addresses":[]}"#));

    let first =
        world.platform.post(WHITELIST, &world.bob, r#"{"addresses":["10.0.0.1","10.1.2.3/8"]}"#).await;
    let more = world.post(WHITELIST, r#"{"addresses":["10.0.0.1","fd00::/8"]}"#).await;

    assert_eq!(first.both(), (201, r#"{"addresses":["10.0.0.1","10.1.2.3/8"]}"#));
    assert_eq!(more.both(), (201, r#"{"addresses":["10.0.0.1","10.1.2.3/8","fd00::/8"]}"#));
    assert_eq!(world.platform.routing("blog").edge.whitelist.len(), 3);

    let gone = r#"{"addresses":["10.0.0.1","fd00::/8"]}"#;
    let removed = world.platform.delete_with(WHITELIST, &world.alice, gone).await;
    assert_eq!(removed.both(), (204, ""));
    assert_eq!(listed(&world).await, json!(["10.1.2.3/8"]));
    assert_eq!(world.platform.routing("blog").edge.whitelist, ["10.1.2.3/8"]);
    assert_eq!(world.get("/v2/apps/blog/settings/").await.json()["whitelist"], json!(["10.1.2.3/8"]));
}

#[tokio::test]
async fn what_is_no_list_of_addresses_is_refused() {
    let world = World::new().await;
    assert_eq!(world.post(WHITELIST, r#"{"addresses":["10.0.0.1"]}"#).await.status, 201);

    for (body, status, text) in [
        (r#"{"addresses":["1.2.3.4.5"]}"#, 400, r#"["The address 1.2.3.4.5 is not valid"]"#),
        ("{}", 400, r#"{"addresses":["This field is required."]}"#),
        (
            r#"{"addresses":"10.0.0.1"}"#,
            400,
            r#"{"addresses":["Expected a list of items but got type \"str\"."]}"#,
        ),
        (r#"{"addresses":["10.0.0.1"]}"#, 409, r#"{"detail":"alice changed nothing"}"#),
        (r#"{"addresses":[]}"#, 409, r#"{"detail":"alice changed nothing"}"#),
    ] {
        assert_eq!(world.post(WHITELIST, body).await.both(), (status, text), "{body}");
    }
    assert_eq!(listed(&world).await, json!(["10.0.0.1"]));
}

#[tokio::test]
async fn an_address_that_is_not_listed_removes_nothing() {
    let world = World::new().await;
    assert_eq!(world.post(WHITELIST, r#"{"addresses":["10.0.0.1"]}"#).await.status, 201);

    let body = r#"{"addresses":["10.0.0.1","9.9.9.9"]}"#;
    let refused = world.platform.delete_with(WHITELIST, &world.alice, body).await;

    assert_eq!(refused.both(), (422, r#"{"detail":"addresses {'9.9.9.9'} does not exist in whitelist"}"#));
    assert_eq!(listed(&world).await, json!(["10.0.0.1"]));
}

#[tokio::test]
async fn collaborators_add_and_only_the_owner_removes() {
    let world = World::new().await;
    let body = r#"{"addresses":["10.0.0.1"]}"#;
    assert_eq!(world.platform.post(WHITELIST, &world.bob, body).await.status, 201);

    assert_eq!(world.platform.delete_with(WHITELIST, &world.bob, body).await.both(), FORBIDDEN);
    assert_eq!(world.platform.post(WHITELIST, &world.carol, body).await.both(), FORBIDDEN);
    assert_eq!(world.platform.delete_with(WHITELIST, &world.admin, body).await.status, 204);
}
