//! `/v2/stacks/` and the setting that names one (docs/spec/api.md 4.21).

use serde_json::json;

use crate::world::World;

const SETTINGS: &str = "/v2/apps/blog/settings/";

#[tokio::test]
async fn all_stacks_are_listed_with_that_of_new_apps() {
    let world = World::new().await;

    let listed = world.get("/v2/stacks/").await.json();

    let stacks: Vec<_> = listed["stacks"].as_array().expect("a list").iter().collect();
    let names: Vec<_> = stacks.iter().map(|stack| (&stack["name"], &stack["default"])).collect();
    assert_eq!(names, [(&json!("bookworm"), &json!(false)), (&json!("trixie"), &json!(true))]);
    assert_eq!(stacks[1]["toolchains"], json!(["java", "php", "python", "ruby", "rust"]));
}

#[tokio::test]
async fn a_new_app_gets_the_default_stack_and_can_choose_another_without_a_release() {
    let world = World::new().await;
    assert_eq!(world.post("/v2/apps/", r#"{"id":"shop"}"#).await.status, 201);
    let of_new = world.get("/v2/apps/shop/settings/").await.json();

    let chosen = world.post("/v2/apps/shop/settings/", r#"{"stack":"bookworm"}"#).await;
    let again = world.post("/v2/apps/shop/settings/", r#"{"stack":"bookworm"}"#).await;

    assert_eq!(of_new["stack"], "trixie");
    assert_eq!((chosen.status, &chosen.json()["stack"]), (201, &json!("bookworm")));
    assert_eq!(again.status, 409);
    assert_eq!(world.get("/v2/apps/shop/releases/").await.json()["count"], 1);
}

#[tokio::test]
async fn a_stack_that_the_platform_does_not_have_is_refused_with_those_that_it_has() {
    let world = World::new().await;

    let unknown = world.post(SETTINGS, r#"{"stack":"cedar"}"#).await;
    let wrong = world.post(SETTINGS, r#"{"stack":"../x"}"#).await;

    assert_eq!(unknown.status, 400);
    assert_eq!(unknown.json(), json!({"stack": ["there is no stack `cedar`; there are bookworm, trixie"]}));
    assert_eq!(wrong.status, 400);
    assert!(wrong.json()["stack"][0].as_str().is_some_and(|text| text.contains("is no name of a stack")));
}
