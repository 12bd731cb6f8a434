//! `/v2/apps/{app}/certs/auto/`: who may, what is told, and what a certificate authority has no part in.

use controller::AcmeSettings;
use domain::auto_certs::OrderProgress;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::platform::TestPlatform;
use crate::world::{FORBIDDEN, World};

const AUTO: &str = "/v2/apps/blog/certs/auto/";
const CA: &str = "https://ca.example.com/directory";

async fn world() -> World {
    let acme = AcmeSettings::new(CA, "operator@example.com");
    let world = World::on(TestPlatform::with(|settings| settings.acme = Some(acme)).await).await;
    for domain in ["www.foo.com", "*.foo.com"] {
        let body = json!({ "domain": domain }).to_string();
        assert_eq!(world.post("/v2/apps/blog/domains/", &body).await.status, 201);
    }
    world
}

async fn states(world: &World) -> Vec<(String, String)> {
    let shown = world.get(AUTO).await.json();
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let domains = shown["domains"].as_array().expect("a list").iter();
    domains.map(|domain| (text(&domain["domain"]), text(&domain["state"]))).collect()
}

fn pairs(states: &[(&str, &str)]) -> Vec<(String, String)> {
    states.iter().map(|(domain, state)| ((*domain).to_owned(), (*state).to_owned())).collect()
}

#[tokio::test]
async fn each_domain_is_told_how_it_stands() {
    let world = world().await;
    let off = [("*.foo.com", "wildcard"), ("blog", "platform"), ("www.foo.com", "off")];
    assert_eq!(states(&world).await, pairs(&off));

    let on = world.platform.post(AUTO, &world.bob, r#"{"enabled":true}"#).await;

    assert_eq!((on.status, &on.json()["enabled"], &on.json()["offered"]), (201, &json!(true), &json!(true)));
    let due = [("*.foo.com", "wildcard"), ("blog", "platform"), ("www.foo.com", "due")];
    assert_eq!(states(&world).await, pairs(&due));
    assert_eq!(world.post(AUTO, r#"{"enabled":false}"#).await.json()["enabled"], false);
    assert_eq!(states(&world).await, pairs(&off));
    let said = world.platform.said("blog");
    assert_eq!(said[said.len() - 2..], ["automatic certificates on", "automatic certificates off"]);
}

#[tokio::test]
async fn a_failure_is_told_with_its_next_try_which_comes_sooner_when_asked_for() {
    let world = world().await;
    world.post(AUTO, r#"{"enabled":true}"#).await;
    let hours = |hours| Timestamp::now() + SignedDuration::from_hours(hours);
    let failed = OrderProgress {
        is_ordered: false,
        failures: 7,
        error: Some("connection refused".to_owned()),
        tried: Some(hours(-2)),
        next_try: Some(hours(3)),
    };
    let store = &world.platform.controller.store;
    store.record_auto_failure("www.foo.com", CA, &failed, true).await.expect("recorded");

    let shown = world.get(AUTO).await.json()["domains"][2].clone();
    assert_eq!((&shown["state"], &shown["error"]), (&json!("failed"), &json!("connection refused")));
    assert!(shown["next_try"].is_string() && shown["certificate"].is_null());

    let again = world.post(AUTO, r#"{"enabled":true}"#).await.json()["domains"][2].clone();
    assert_eq!((&again["state"], &again["error"]), (&json!("due"), &json!("connection refused")));
}

#[tokio::test]
async fn a_platform_without_an_authority_says_so() {
    let world = World::new().await;

    let refused = world.post(AUTO, r#"{"enabled":true}"#).await;

    assert_eq!(refused.status, 400, "{}", refused.text());
    assert!(refused.text().contains("--acme-email"), "{}", refused.text());
    assert_eq!(world.get(AUTO).await.json()["offered"], false);
}

#[tokio::test]
async fn a_request_for_certificates_is_a_boolean_and_strangers_have_none() {
    let world = world().await;

    assert_eq!(world.post(AUTO, "{}").await.both(), (400, r#"{"enabled":["This field is required."]}"#));
    let wrong = world.post(AUTO, r#"{"enabled":"perhaps"}"#).await;
    assert_eq!(wrong.both(), (400, r#"{"enabled":["\"perhaps\" is not a valid boolean."]}"#));
    assert_eq!(world.platform.get(AUTO, &world.carol).await.both(), FORBIDDEN);
    assert_eq!(world.platform.post(AUTO, &world.carol, r#"{"enabled":true}"#).await.both(), FORBIDDEN);
}
