//! The list of routes. `domain::access` has the access rules, `url` checks them.

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
mod tls;
mod url;
mod users;
mod websocket;
mod whitelist;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn;
use axum::routing::get;

pub(crate) use body::BODY_BYTES_MAX;

use crate::Controller;
pub(crate) use access_watch::AccessVersion;
use url::{Url, at};

/// Everything that users reach. The builder's hooks are not among it.
pub fn public_router(controller: Controller) -> Router {
    let health = Router::new().route("/healthz", get(health::alive)).route("/readiness", get(health::ready));
    finished(mounted(public_urls(), health, &controller), controller)
}

/// The builder's hooks, for the internal listener only.
pub fn hooks_router(controller: Controller) -> Router {
    finished(mounted(hook_urls(), Router::new(), &controller), controller)
}

fn public_urls() -> Vec<Url> {
    [people_urls(), app_urls(), release_urls(), process_urls()].into_iter().flatten().collect()
}

/// The root, users and their own resources.
fn people_urls() -> Vec<Url> {
    vec![
        at("/v2/").exactly().get(root::root),
        at("/v2/openapi.json").exactly().get(openapi::document),
        at("/v2/auth/register").post(auth::register),
        at("/v2/auth/login/").exactly().post(auth::login),
        at("/v2/auth/whoami").get(users::whoami),
        at("/v2/auth/passwd").post(auth::passwd),
        at("/v2/auth/tokens/").exactly().post(auth::regenerate).delete(auth::logout),
        at("/v2/auth/cancel").delete(auth::cancel),
        at("/v2/users").get(users::list),
        at("/v2/admin/perms").get(admin_perms::list).post(admin_perms::grant),
        at("/v2/admin/perms/{username}").delete(admin_perms::revoke),
        at("/v2/keys").get(keys::list).post(keys::add),
        at("/v2/keys/{*id}").exactly().get(keys::info).delete(keys::remove),
        at("/v2/certs").get(certs::list).post(certs::add),
        at("/v2/certs/{name}").get(certs::info).delete(certs::remove),
        at("/v2/certs/{name}/domain").post(certs::attach_named),
        at("/v2/certs/{name}/domain/{domain}").post(certs::attach).delete(certs::detach),
        at("/v2/apps/{app}/perms").get(perms::list).post(perms::grant),
        at("/v2/apps/{app}/perms/{username}").delete(perms::revoke),
    ]
}

/// Apps, and their settings without a release.
fn app_urls() -> Vec<Url> {
    vec![
        at("/v2/apps").get(apps::list).post(apps::create),
        at("/v2/apps/{app}").get(apps::info).post(apps::update).delete(apps::delete),
        at("/v2/apps/{app}/domains").get(domains::list).post(domains::add),
        at("/v2/apps/{app}/domains/{domain}").delete(domains::remove),
        at("/v2/apps/{app}/settings").get(settings::info).post(settings::change),
        at("/v2/apps/{app}/whitelist").get(whitelist::list).post(whitelist::add).delete(whitelist::remove),
        at("/v2/apps/{app}/tls").get(tls::info).post(tls::change),
        at("/v2/apps/{app}/certs/auto").get(auto_certs::info).post(auto_certs::change),
        at("/v2/apps/{app}/services").get(services::list).post(services::set).delete(services::remove),
        at("/v2/apps/{app}/logs").plain().get(logs::lines),
        at("/v2/apps/{app}/logs/follow").plain().get(logs::follow),
    ]
}

/// Releases, and the resources whose changes make them.
fn release_urls() -> Vec<Url> {
    vec![
        at("/v2/apps/{app}/config").get(config::info).post(config::change),
        at("/v2/apps/{app}/builds").get(builds::list).post(builds::create),
        at("/v2/apps/{app}/builds/{uuid}").get(builds::info),
        at("/v2/apps/{app}/releases").get(releases::list),
        at("/v2/apps/{app}/releases/rollback").post(releases::rollback),
        at("/v2/apps/{app}/releases/{version}").get(releases::info),
    ]
}

/// Processes.
fn process_urls() -> Vec<Url> {
    vec![
        at("/v2/apps/{app}/scale").post(scale::scale),
        at("/v2/apps/{app}/run").post(run::run),
        at("/v2/apps/{app}/run/terminal").plain().get(sessions::run),
        at("/v2/apps/{app}/pods").get(pods::list),
        at("/v2/apps/{app}/pods/restart").post(pods::restart),
        at("/v2/apps/{app}/pods/{type}").get(pods::list_of_type),
        at("/v2/apps/{app}/pods/{type}/restart").post(pods::restart_type),
        at("/v2/apps/{app}/pods/{type}/{name}").get(pods::list_named),
        at("/v2/apps/{app}/pods/{type}/{name}/restart").post(pods::restart_named),
        at("/v2/apps/{app}/pods/{type}/{name}/exec").plain().get(sessions::exec),
    ]
}

fn hook_urls() -> Vec<Url> {
    vec![
        at("/v2/hooks/key").post(hooks::key),
        at("/v2/hooks/access").post(hooks::access),
        at("/v2/hooks/config").post(hooks::config),
        at("/v2/hooks/build").post(builds::pushed),
        at("/v2/hooks/apps").get(hooks::apps),
    ]
}

/// Method and path of everything that users reach, for a test of who is let in.
pub fn public_methods() -> Vec<(&'static str, &'static str)> {
    public_urls().iter().flat_map(Url::methods).collect()
}

/// The same for what the builder reaches.
pub fn hook_methods() -> Vec<(&'static str, &'static str)> {
    hook_urls().iter().flat_map(Url::methods).collect()
}

fn mounted(urls: Vec<Url>, router: Router<Controller>, controller: &Controller) -> Router<Controller> {
    urls.into_iter().fold(router, |router, url| url.mounted(router, controller))
}

fn finished(router: Router<Controller>, controller: Controller) -> Router {
    router
        .fallback(root::unknown_url)
        .layer(DefaultBodyLimit::max(body::BODY_BYTES_MAX))
        .layer(from_fn(answer::whatever_happens))
        .layer(from_fn(headers::complete))
        .with_state(controller)
}
