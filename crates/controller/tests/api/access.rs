//! Access: every URL, requested by everybody, against the rule of its operation.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::{Method, Request};
use controller::RegistrationMode;
use domain::AppName;
use domain::access::{AccessRule, Permission, Role, permit};
use jiff::Timestamp;

use crate::platform::{Answer, BUILDER_KEY, TestPlatform, request};
use crate::world::{NO_APP, World};

/// A caller, by what it has to do with an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Relation {
    Anonymous,
    Builder,
    Stranger,
    Collaborator,
    Owner,
    Admin,
}

impl Relation {
    fn roles(self) -> &'static [Role] {
        match self {
            Self::Anonymous | Self::Builder => &[],
            Self::Stranger => &[Role::User],
            Self::Collaborator => &[Role::User, Role::Collaborator],
            Self::Owner => &[Role::User, Role::Owner],
            Self::Admin => &[Role::User, Role::Administrator],
        }
    }

    /// The named user is the collaborator.
    fn may(self, permission: Permission) -> bool {
        permit(self.roles(), permission) || self == Self::Collaborator
    }
}

const EVERYBODY: [Relation; 6] = [
    Relation::Anonymous,
    Relation::Builder,
    Relation::Stranger,
    Relation::Collaborator,
    Relation::Owner,
    Relation::Admin,
];

/// Fills in the names in braces; the named user is the collaborator.
fn filled_in(path: &str, app: &str) -> String {
    let parts = path.split('/').map(|part| match part {
        "{app}" => app,
        "{version}" => "v1",
        "{username}" => "bob",
        part if part.starts_with('{') => "some-name",
        part => part,
    });
    parts.collect::<Vec<_>>().join("/")
}

fn method(name: &str) -> Method {
    name.parse().expect("a method")
}

/// The request as somebody of this standing sends it. The body says nothing, so that what is allowed fails
/// before it changes anything.
fn asked_by(world: &World, standing: Relation, name: &str, path: &str) -> Request<Body> {
    let token = match standing {
        Relation::Anonymous | Relation::Builder => "",
        Relation::Stranger => &world.carol,
        Relation::Collaborator => &world.bob,
        Relation::Owner => &world.alice,
        Relation::Admin => &world.admin,
    };
    let mut request = request(method(name), path, token, "nonsense");
    if standing == Relation::Builder {
        let key = BUILDER_KEY.parse().expect("a value");
        request.headers_mut().insert("x-deis-builder-auth", key);
    }
    request
}

/// Adds an app of alice's on which bob works.
async fn add_app(platform: &TestPlatform, app: &str) {
    platform.app(app, "alice").await;
    let name = AppName::parse(app).expect("a good name");
    platform.controller.store.add_collaborator(&name, "bob", Timestamp::now()).await.expect("a grant");
}

fn is_denied(answer: &Answer) -> bool {
    matches!(answer.status, 401 | 403)
}

#[test]
fn every_operation_is_on_one_listener() {
    let public: BTreeSet<_> = controller::public_operations().iter().map(|row| (row.0, row.1)).collect();
    let hooks: BTreeSet<_> = controller::hook_operations().iter().map(|row| (row.0, row.1)).collect();

    assert!(public.is_disjoint(&hooks));
    assert!(public.len() > 60 && hooks.len() == 6, "{} {}", public.len(), hooks.len());
    assert!(controller::public_operations().iter().all(|(_, path, _)| !path.contains("hooks")));
}

#[tokio::test]
async fn everybody_gets_what_the_table_says_and_nothing_else() {
    let platform =
        TestPlatform::with(|settings| settings.registration_mode = RegistrationMode::Enabled).await;
    let world = World::on(platform).await;
    let mut apps = 0;

    for (name, path, rule) in controller::public_operations() {
        for standing in EVERYBODY {
            apps += 1;
            let app = format!("app-{apps}");
            if path.contains("{app}") {
                add_app(&world.platform, &app).await;
            }
            let answer = world.platform.send(asked_by(&world, standing, name, &filled_in(path, &app))).await;

            let is_for_them = match rule {
                // The builder's key opens nothing that users reach.
                _ if standing == Relation::Builder => rule.admits(&[]),
                AccessRule::NeedsUnlessNamed(permission) => standing.may(permission),
                rule => rule.admits(standing.roles()),
            };
            assert_eq!(!is_denied(&answer), is_for_them, "{name} {path} {standing:?}: {}", answer.text());
        }
    }
}

#[tokio::test]
async fn hooks_are_for_the_builder_alone() {
    let world = World::new().await;

    for (name, path, rule) in controller::hook_operations() {
        for standing in EVERYBODY {
            let answer = world.platform.send_hook(asked_by(&world, standing, name, path)).await;
            let is_for_them = rule == AccessRule::Builder && standing == Relation::Builder;
            assert_eq!(!is_denied(&answer), is_for_them, "{name} {path} {standing:?}: {}", answer.text());
        }
    }
}

#[tokio::test]
async fn an_app_that_does_not_exist_is_missing_for_everybody() {
    let world = World::new().await;

    for (name, path, _) in controller::public_operations() {
        if !path.contains("{app}") {
            continue;
        }
        for standing in [Relation::Stranger, Relation::Owner, Relation::Admin] {
            let answer =
                world.platform.send(asked_by(&world, standing, name, &filled_in(path, "none"))).await;
            assert_eq!(answer.both(), NO_APP, "{name} {path} {standing:?}");
        }
    }
}

#[tokio::test]
async fn keys_and_certificates_of_others_do_not_exist_for_anybody() {
    let world = World::new().await;
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHs9Jk1cpUwvlw3wUqOm2aX5zqIBIFmV1qWjs1yS0yEF";
    let body = format!(r#"{{"id":"some-name","public":"{key}"}}"#);
    assert_eq!(world.post("/v2/keys/", &body).await.status, 201);
    let added = crate::certs::add_as(&world, &world.alice, "some-name", "www.foo.com").await;
    assert_eq!(added.status, 201, "{}", added.text());

    let rows = ["/v2/keys/{*id}", "/v2/certs/{name}"];
    let own = |path: &str| rows.iter().any(|row| path.starts_with(row));
    let mut asked = 0;
    for (name, path, _) in controller::public_operations().into_iter().filter(|(_, path, _)| own(path)) {
        for standing in [Relation::Stranger, Relation::Collaborator, Relation::Admin] {
            let answer = world.platform.send(asked_by(&world, standing, name, &filled_in(path, ""))).await;
            assert_eq!(answer.status, 404, "{name} {path} {standing:?}: {}", answer.text());
        }
        asked += 1;
    }
    assert_eq!(asked, 7);
    for path in ["/v2/keys/some-name", "/v2/certs/some-name"] {
        assert_eq!(world.get(path).await.status, 200, "{path}");
    }
}
