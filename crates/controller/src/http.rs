//! The list of resources. Each module has the operations of one, beside their handlers: `operation`.

mod access;
mod access_watch;
mod admin_perms;
mod answer;
mod apps;
mod auth;
mod auto_certs;
mod body;
mod builds;
mod certs;
mod config;
mod domains;
mod error;
mod forms;
mod headers;
mod health;
mod hooks;
mod identity;
mod keys;
mod logs;
mod numbers;
mod openapi;
mod operation;
mod outcome;
mod paging;
mod perms;
mod pods;
mod refusals;
mod releases;
mod root;
mod run;
mod scale;
mod services;
mod sessions;
mod settings;
mod stacks;
mod tls;
mod url;
mod users;
mod websocket;
mod whitelist;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn;
use axum::routing::get;
use domain::access::AccessRule;

pub(crate) use body::BODY_BYTES_MAX;

use crate::Controller;
pub(crate) use access_watch::AccessVersion;
use operation::Operation;
use url::Url;

/// Every resource of the API.
const RESOURCES: &[fn() -> Vec<Operation>] = &[
    root::operations,
    openapi::operations,
    auth::operations,
    users::operations,
    admin_perms::operations,
    keys::operations,
    certs::operations,
    apps::operations,
    perms::operations,
    domains::operations,
    settings::operations,
    stacks::operations,
    whitelist::operations,
    tls::operations,
    auto_certs::operations,
    services::operations,
    logs::operations,
    config::operations,
    builds::operations,
    releases::operations,
    scale::operations,
    run::operations,
    sessions::operations,
    pods::operations,
    hooks::operations,
];

/// Everything that users reach. The builder's hooks are not among it.
pub fn public_router(controller: Controller) -> Router {
    let health = Router::new().route("/healthz", get(health::alive)).route("/readiness", get(health::ready));
    finished(mounted(public(), health, &controller), controller)
}

/// The builder's hooks, for the internal listener only.
pub fn hooks_router(controller: Controller) -> Router {
    finished(mounted(hooks(), Router::new(), &controller), controller)
}

/// Method, path and access rule of each operation that users reach, for a test of who is let in.
pub fn public_operations() -> Vec<(&'static str, &'static str, AccessRule)> {
    public().iter().map(Operation::row).collect()
}

/// The same for operations of the builder.
pub fn hook_operations() -> Vec<(&'static str, &'static str, AccessRule)> {
    hooks().iter().map(Operation::row).collect()
}

/// The rule alone decides on which listener an operation is.
fn public() -> Vec<Operation> {
    operations().filter(|operation| operation.rule != AccessRule::Builder).collect()
}

fn hooks() -> Vec<Operation> {
    operations().filter(|operation| operation.rule == AccessRule::Builder).collect()
}

fn operations() -> impl Iterator<Item = Operation> {
    RESOURCES.iter().flat_map(|operations| operations())
}

fn mounted(
    operations: Vec<Operation>,
    router: Router<Controller>,
    controller: &Controller,
) -> Router<Controller> {
    Url::of_all(operations).into_iter().fold(router, |router, url| url.mounted(router, controller))
}

fn finished(router: Router<Controller>, controller: Controller) -> Router {
    router
        .fallback(root::unknown_url)
        .layer(DefaultBodyLimit::max(body::BODY_BYTES_MAX))
        .layer(from_fn(answer::whatever_happens))
        .layer(from_fn(headers::complete))
        .with_state(controller)
}

#[cfg(test)]
mod tests {
    use domain::access::AccessRule::{Anyone, Builder, NeedsUnlessNamed};
    use domain::access::{Role, Scope};

    use super::*;

    fn rows() -> Vec<(&'static str, &'static str, AccessRule)> {
        operations().map(|operation| operation.row()).collect()
    }

    #[test]
    fn only_registration_login_and_the_description_need_no_credentials() {
        let open: Vec<_> =
            rows().into_iter().filter(|(_, _, rule)| *rule == Anyone).map(|row| row.1).collect();

        assert_eq!(open, ["/v2/openapi.json", "/v2/auth/register", "/v2/auth/login/"]);
    }

    #[test]
    fn whoever_deletes_something_of_an_app_owns_it() {
        for (method, path, rule) in rows().iter().filter(|row| row.1.starts_with("/v2/apps/{app}")) {
            let is_for_collaborators =
                rule.admits(&[Role::User, Role::Collaborator]) && !matches!(rule, NeedsUnlessNamed(_));
            let shares = *path == "/v2/apps/{app}/perms" && *method == "POST";
            let locks = *path == "/v2/apps/{app}/lock";
            assert_eq!(is_for_collaborators, *method != "DELETE" && !shares && !locks, "{method} {path}");
            assert!(!rule.admits(&[]), "{method} {path}");
        }
    }

    #[test]
    fn hooks_are_for_the_builder_and_nothing_else_is() {
        for (_, path, rule) in rows() {
            assert_eq!(rule == Builder, path.starts_with("/v2/hooks/"), "{path}");
        }
        assert!(!Builder.admits(&[Role::User, Role::Administrator]));
    }

    /// Access to a URL is checked before the method.
    #[test]
    fn methods_of_one_path_differ_only_in_what_they_ask_of_an_app() {
        let coarse =
            |rule: AccessRule| (rule == Anyone, rule == Builder, rule.scope() == Some(Scope::Platform));
        let rows = rows();
        for (_, path, rule) in &rows {
            let others = rows.iter().filter(|row| row.1 == *path);
            assert!(others.into_iter().all(|other| coarse(other.2) == coarse(*rule)), "{path}");
        }
    }

    #[test]
    fn each_method_of_a_path_has_one_row() {
        let rows = rows();
        for (place, (method, path, _)) in rows.iter().enumerate() {
            let again = rows[place + 1..].iter().any(|row| (row.0, row.1) == (*method, *path));
            assert!(!again, "{method} {path}");
        }
    }
}
