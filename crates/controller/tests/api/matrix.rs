//! The endpoint matrix (docs/spec/api.md 2): each row once, as clients send it, with the status of its success, request
//! and response as the operation declares them. What each may refuse, and why, is in the file of its resource.

use std::collections::BTreeSet;

use axum::http::Method;
use domain::Digest;
use serde_json::Value;

use crate::certs;
use crate::hooks::{build, tell};
use crate::openapi::fault;
use crate::platform::{Answer, request};
use crate::world::World;

/// Method, path as clients send it, body, status.
type Row = (&'static str, &'static str, &'static str, u16);

/// Asked in tests of their own: lines come from another program, and sessions go over a WebSocket.
const ELSEWHERE: [(&str, &str); 4] = [
    ("GET", "/v2/apps/{app}/logs"),
    ("GET", "/v2/apps/{app}/logs/follow"),
    ("GET", "/v2/apps/{app}/run/terminal"),
    ("GET", "/v2/apps/{app}/pods/{type}/{name}/exec"),
];

/// As alice, in this order; `blog` is hers and runs `cmd`.
const OWN: &[Row] = &[
    ("GET", "/v2/", "", 200),
    ("GET", "/v2/openapi.json", "", 200),
    ("POST", "/v2/auth/login/", r#"{"username":"alice","password":"s3cret horse"}"#, 200),
    ("GET", "/v2/auth/whoami/", "", 200),
    ("POST", "/v2/auth/passwd/", r#"{"password":"s3cret horse","new_password":"new horse staple"}"#, 200),
    (
        "POST",
        "/v2/keys/",
        r#"{"id":"laptop","public":"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHs9Jk1cpUwvlw3wUqOm2aX5zqIBIFmV1qWjs1yS0yEF"}"#,
        201,
    ),
    ("GET", "/v2/keys/", "", 200),
    ("GET", "/v2/keys/laptop", "", 200),
    ("DELETE", "/v2/keys/laptop", "", 204),
    ("GET", "/v2/apps/", "", 200),
    ("POST", "/v2/apps/", r#"{"id":"shop"}"#, 201),
    ("GET", "/v2/apps/shop/", "", 200),
    ("GET", "/v2/apps/blog/config/", "", 200),
    ("POST", "/v2/apps/blog/config/", r#"{"values":{"A":"1"}}"#, 201),
    ("GET", "/v2/apps/blog/builds/", "", 200),
    ("POST", "/v2/apps/blog/builds/", r#"{"image":"example/web:2","procfile":{"web":"run"}}"#, 201),
    ("GET", "/v2/apps/blog/builds/{uuid}/", "", 200),
    ("GET", "/v2/apps/blog/releases/", "", 200),
    ("GET", "/v2/apps/blog/releases/v2/", "", 200),
    ("GET", "/v2/apps/blog/releases/v2/sbom/", "", 200),
    ("POST", "/v2/apps/blog/releases/rollback/", r#"{"version":2}"#, 201),
    ("POST", "/v2/apps/{slug}/releases/rebase/", "", 200),
    ("POST", "/v2/apps/blog/scale/", r#"{"cmd":2}"#, 204),
    ("POST", "/v2/apps/blog/run", r#"{"command":"true"}"#, 200),
    ("GET", "/v2/apps/blog/pods/", "", 200),
    ("GET", "/v2/apps/blog/pods/cmd/", "", 200),
    ("GET", "/v2/apps/blog/pods/cmd/{pod}/", "", 200),
    ("POST", "/v2/apps/blog/pods/cmd/{pod}/restart/", "", 200),
    ("POST", "/v2/apps/blog/pods/cmd/restart/", "", 200),
    ("POST", "/v2/apps/blog/pods/restart/", "", 200),
    ("GET", "/v2/apps/blog/domains/", "", 200),
    ("POST", "/v2/apps/blog/domains/", r#"{"domain":"www.foo.com"}"#, 201),
    ("POST", "/v2/certs/", "{pair}", 201),
    ("GET", "/v2/certs/", "", 200),
    ("GET", "/v2/certs/foo-com", "", 200),
    ("POST", "/v2/certs/foo-com/domain/", r#"{"domain":"www.foo.com"}"#, 201),
    ("DELETE", "/v2/certs/foo-com/domain/www.foo.com", "", 204),
    ("POST", "/v2/certs/foo-com/domain/www.foo.com", "", 201),
    ("DELETE", "/v2/certs/foo-com", "", 204),
    ("DELETE", "/v2/apps/blog/domains/www.foo.com", "", 204),
    ("GET", "/v2/apps/blog/settings/", "", 200),
    ("GET", "/v2/stacks/", "", 200),
    ("POST", "/v2/apps/blog/settings/", r#"{"maintenance":true}"#, 201),
    ("POST", "/v2/apps/blog/whitelist/", r#"{"addresses":["1.2.3.4"]}"#, 201),
    ("GET", "/v2/apps/blog/whitelist/", "", 200),
    ("DELETE", "/v2/apps/blog/whitelist/", r#"{"addresses":["1.2.3.4"]}"#, 204),
    ("GET", "/v2/apps/blog/tls/", "", 200),
    ("POST", "/v2/apps/blog/tls/", r#"{"https_enforced":true}"#, 201),
    ("GET", "/v2/apps/blog/certs/auto/", "", 200),
    ("POST", "/v2/apps/blog/certs/auto/", r#"{"enabled":false}"#, 201),
    ("POST", "/v2/apps/blog/services/", r#"{"procfile_type":"cmd","path_pattern":"/a"}"#, 201),
    ("GET", "/v2/apps/blog/services/", "", 200),
    ("DELETE", "/v2/apps/blog/services/", r#"{"procfile_type":"cmd"}"#, 204),
    ("POST", "/v2/apps/blog/lock/", r#"{"reason":"audit"}"#, 201),
    ("DELETE", "/v2/apps/blog/lock/", "", 204),
    ("GET", "/v2/apps/blog/perms/", "", 200),
    ("POST", "/v2/apps/blog/perms/", r#"{"username":"carol"}"#, 201),
    ("DELETE", "/v2/apps/blog/perms/carol", "", 204),
    ("POST", "/v2/apps/shop/", r#"{"owner":"bob"}"#, 200),
    ("DELETE", "/v2/apps/blog/", "", 204),
    ("POST", "/v2/auth/tokens/", "", 200),
];

/// As the administrator, after that.
const ADMINS: &[Row] = &[
    ("POST", "/v2/auth/register/", r#"{"username":"dave","password":"correct horse"}"#, 201),
    ("GET", "/v2/users/", "", 200),
    ("POST", "/v2/admin/perms/", r#"{"username":"dave"}"#, 201),
    ("GET", "/v2/admin/perms/", "", 200),
    ("DELETE", "/v2/admin/perms/dave", "", 204),
    ("DELETE", "/v2/auth/cancel/", r#"{"username":"dave"}"#, 204),
    ("DELETE", "/v2/auth/tokens/", "", 204),
];

/// Fills in what is only known as it goes: the newest build, a pod, a certificate, an app with a slug.
async fn filled_in(world: &World, text: &str) -> String {
    let first = async |path: &str, field: &str| {
        let list = world.get(path).await.json();
        list["results"][0][field].as_str().map(str::to_owned).expect("there is one")
    };
    if text == "{pair}" {
        let (certificate, key) = certs::pair("www.foo.com");
        return serde_json::json!({"name": "foo-com", "certificate": certificate, "key": key}).to_string();
    }
    if text.contains("{uuid}") {
        return text.replace("{uuid}", &first("/v2/apps/blog/builds/", "uuid").await);
    }
    if text.contains("{slug}") {
        let push = build("alice", Digest::of(b"slug").as_str(), r#"{"web":"serve"}"#).replace("blog", "shop");
        assert_eq!(tell(world, "/v2/hooks/build/", &push).await.status, 200);
        return text.replace("{slug}", "shop");
    }
    if text.contains("{pod}") {
        return text.replace("{pod}", &first("/v2/apps/blog/pods/cmd/", "name").await);
    }
    text.to_owned()
}

/// Asks for all rows; gives back the URL of the list of routes that each has met.
async fn asked(world: &World, token: &str, rows: &[Row]) -> BTreeSet<(&'static str, &'static str)> {
    let mut met = BTreeSet::new();
    let document = world.get("/v2/openapi.json").await.json();
    for (method, path, body, status) in rows {
        let (path, body) = (filled_in(world, path).await, filled_in(world, body).await);
        let name: Method = method.parse().expect("a method");

        let answer = world.platform.send(request(name, &path, token, &body)).await;

        assert_eq!(answer.status, *status, "{method} {path}: {}", answer.text());
        assert_eq!(answer.header("deis_api_version"), Some("2.3"), "{method} {path}");
        match status {
            204 => assert_eq!(answer.text(), "", "{method} {path}"),
            _ if !answer.text().is_empty() => drop::<Value>(answer.json()),
            _ => {}
        }
        let route = route_of(method, &path);
        if let Some((_, route)) = route {
            let operation = &document["paths"][route.replace("{*", "{")][method.to_ascii_lowercase()];
            assert_eq!(mismatch(&document, operation, &body, &answer), None, "{method} {path}");
        }
        met.extend(route);
    }
    met
}

/// Reason why request or response are not as the operation declares them.
fn mismatch(document: &Value, operation: &Value, body: &str, answer: &Answer) -> Option<String> {
    if !body.is_empty() {
        let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
        let body = serde_json::from_str(body).expect("rows have JSON");
        if let Some(fault) = fault(document, schema, &body) {
            return Some(format!("request: {fault}"));
        }
    }
    let response = &operation["responses"][answer.status.to_string()];
    if response.is_null() {
        return Some(format!("{} is not declared", answer.status));
    }
    let schema = &response["content"]["application/json"]["schema"];
    match answer.text() {
        "" if schema.is_null() => None,
        "" => Some("nothing was answered".to_owned()),
        _ if schema.is_null() => Some("no content is declared".to_owned()),
        _ => fault(document, schema, &answer.json()).map(|fault| format!("response: {fault}")),
    }
}

/// The route that a request meets: where several fit, the one with the fewest names in braces.
fn route_of(method: &str, path: &str) -> Option<(&'static str, &'static str)> {
    let words = |path: &str| path.trim_matches('/').split('/').map(str::to_owned).collect::<Vec<_>>();
    let asked = words(path);
    let fits = |route: &str| {
        let route = words(route);
        let same = |(word, part): (&String, &String)| part.starts_with('{') || word == part;
        route.len() == asked.len() && asked.iter().zip(&route).all(same)
    };
    let routes = controller::public_operations().into_iter().map(|(name, route, _)| (name, route));
    let fitting = routes.filter(|(name, route)| *name == method && fits(route));
    fitting.min_by_key(|(_, route)| route.matches('{').count())
}

#[tokio::test]
async fn each_row_of_the_endpoint_matrix_succeeds_as_clients_ask_for_it() {
    let world = World::new().await;
    world.deploy("blog", "example/web:1").await;

    let mut met = asked(&world, &world.alice, OWN).await;
    met.extend(asked(&world, &world.admin, ADMINS).await);
    met.extend(ELSEWHERE);

    let all: BTreeSet<_> =
        controller::public_operations().into_iter().map(|(name, route, _)| (name, route)).collect();
    let missed: Vec<_> = all.difference(&met).collect();
    assert!(missed.is_empty(), "add a row for {missed:?}");
}
