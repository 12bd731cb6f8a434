//! Edge settings of the API, from the request to the route that routers get.
//!
//! The docs' table has these settings beside those that are annotations alone, each of which has its test in the
//! router.

use std::sync::Arc;

use std::collections::BTreeSet;

use domain::edge::app_keys;
use domain::routing::{Route, RouteOwner};
use engine::Routes as _;
use serde_json::json;

use crate::certs;
use crate::world::World;

const DOCS: &str = include_str!("../../../../docs/router.md");
const TABLE: &str = "\n| Router | App | Default | Meaning |\n|---|---|---|---|\n";

struct Setting {
    key: &'static str,
    calls: Vec<(&'static str, String)>,
    seen: fn(&Route) -> bool,
}

fn settings() -> Vec<Setting> {
    let (certificate, private) = certs::pair("www.foo.com");
    let certificate = json!({ "name": "foo-com", "certificate": certificate, "key": private }).to_string();
    let domain = json!({ "domain": "www.foo.com" }).to_string();
    vec![
        Setting {
            key: "domains",
            calls: vec![("/v2/apps/blog/domains/", domain.clone())],
            seen: |route| route.domains.iter().any(|claim| claim.host == "www.foo.com"),
        },
        Setting {
            key: "certificates",
            calls: vec![
                ("/v2/apps/blog/domains/", domain.clone()),
                ("/v2/certs/", certificate),
                ("/v2/certs/foo-com/domain/", domain),
            ],
            seen: |route| route.certificates.iter().any(|cert| cert.domains == ["www.foo.com"]),
        },
        Setting {
            key: "maintenance",
            calls: vec![("/v2/apps/blog/settings/", json!({ "maintenance": true }).to_string())],
            seen: |route| route.edge.maintenance,
        },
        Setting {
            key: "whitelist",
            calls: vec![("/v2/apps/blog/whitelist/", json!({ "addresses": ["10.0.0.0/8"] }).to_string())],
            seen: |route| route.edge.whitelist == ["10.0.0.0/8"],
        },
        Setting {
            key: "ssl.enforce",
            calls: vec![("/v2/apps/blog/tls/", json!({ "https_enforced": true }).to_string())],
            seen: |route| route.edge.https_enforced,
        },
    ]
}

fn route(world: &World) -> Option<Arc<Route>> {
    let table = world.platform.engine.watch().borrow().clone();
    let is_blog =
        |route: &&Arc<Route>| matches!(&route.owner, RouteOwner::App(app) if app.as_str() == "blog");
    table.routes.iter().find(is_blog).cloned()
}

#[tokio::test]
async fn each_setting_of_the_api_reaches_the_route() {
    for Setting { key, calls, seen } in settings() {
        let world = World::new().await;
        world.deploy("blog", "example/web").await;
        assert!(!seen(&route(&world).expect("it is deployed")), "{key} without the call");

        for (path, body) in calls {
            let answer = world.post(path, &body).await;
            assert!(answer.status < 300, "{key}: {}", answer.text());
        }

        assert!(seen(&route(&world).expect("it is deployed")), "{key}");
    }
}

#[tokio::test]
async fn an_app_that_is_not_to_be_routed_has_no_route() {
    let world = World::new().await;
    world.deploy("blog", "example/web").await;

    assert_eq!(world.post("/v2/apps/blog/settings/", r#"{"routable":false}"#).await.status, 201);

    assert_eq!(route(&world), None);
}

#[test]
fn the_docs_have_the_settings_of_the_api_and_each_is_shown() {
    let table = DOCS.split(TABLE).nth(1).expect("the docs have the table");
    let rows = table.lines().take_while(|line| line.starts_with('|'));
    let cells = rows.filter_map(|line| line.split('|').nth(2));
    let names: BTreeSet<_> = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
    let settings = settings();
    let shown: BTreeSet<_> = settings.iter().map(|setting| setting.key).collect();

    let of_the_api: BTreeSet<_> = names.into_iter().filter(|name| !app_keys().contains(name)).collect();

    assert_eq!(of_the_api, shown);
}
