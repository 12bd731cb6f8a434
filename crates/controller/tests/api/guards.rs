//! No URL is open by accident (api.md 2 and 3).

use axum::http::Method;

use crate::platform::{TestPlatform, request};
use crate::world::{FORBIDDEN, NO_APP, World};

/// The only URLs that answer somebody without credentials.
const FOR_ANYONE: [(&str, &str); 2] = [("POST", "/v2/auth/register"), ("POST", "/v2/auth/login/")];

/// What only the owner and administrators may do, besides deleting.
const FOR_OWNERS: [(&str, &str); 1] = [("POST", "/v2/apps/{app}/perms")];

/// Fills in the names in braces; the app's as given.
fn filled_in(path: &str, app: &str) -> String {
    let parts = path.split('/').map(|part| match part {
        "{app}" => app,
        "{version}" => "v1",
        part if part.starts_with('{') => "some-name",
        part => part,
    });
    parts.collect::<Vec<_>>().join("/")
}

fn method(name: &str) -> Method {
    name.parse().expect("a method")
}

#[tokio::test]
async fn every_url_wants_credentials_but_those_that_make_them() {
    let platform = TestPlatform::new().await;
    platform.user("admin").await;

    for (name, path) in controller::public_methods() {
        let answer = platform.send(request(method(name), &filled_in(path, "blog"), "", "")).await;
        let is_open = FOR_ANYONE.contains(&(name, path));
        assert_eq!(answer.status != 401, is_open, "{name} {path}: {}", answer.text());
    }
    for (name, path) in controller::hook_methods() {
        let answer = platform.send_hook(request(method(name), &filled_in(path, "blog"), "", "")).await;
        assert_eq!(answer.status, 401, "{name} {path}: {}", answer.text());
    }
}

#[tokio::test]
async fn an_app_is_missing_for_everybody_and_closed_to_strangers() {
    let world = World::new().await;
    let platform = &world.platform;

    for (name, path) in controller::public_methods() {
        // Whom a DELETE of a collaborator is about is looked up before it is judged.
        if !path.starts_with("/v2/apps/{app}") || path == "/v2/apps/{app}/perms/{username}" {
            continue;
        }
        for (token, app, wanted) in [
            (&world.admin, "none", NO_APP),
            (&world.carol, "none", NO_APP),
            (&world.carol, "blog", FORBIDDEN),
        ] {
            let answer = platform.send(request(method(name), &filled_in(path, app), token, "nonsense")).await;
            assert_eq!(answer.both(), wanted, "{name} {path} {app}");
        }
    }
}

#[tokio::test]
async fn collaborators_may_do_all_but_delete_and_share() {
    let world = World::new().await;

    for (name, path) in controller::public_methods() {
        if !path.starts_with("/v2/apps/{app}") || path == "/v2/apps/{app}/perms/{username}" {
            continue;
        }
        let answer = world
            .platform
            .send(request(method(name), &filled_in(path, "blog"), &world.bob, "nonsense"))
            .await;
        let is_for_owners = name == "DELETE" || FOR_OWNERS.contains(&(name, path));
        assert_eq!(answer.status == 403, is_for_owners, "{name} {path}: {}", answer.text());
    }
}
