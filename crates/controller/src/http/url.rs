//! A URL of the API: its methods, who may enter, which trailing slash it takes.
//!
//! The order of checks is that of docs/spec/api.md 3: the URL exists (404), credentials (401), platform-wide
//! permission (403), method (405), the app (404, 403); other rows and bodies are the handler's. A method without
//! an operation is refused to everybody.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{ACCEPT, ALLOW};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::MethodRouter;
use domain::access::{AccessRule, Action, Resource, needs};
use http_body::Body as _;
use listener::http::SMALL_BODY_BYTES;

use super::access;
use super::error::ApiError;
use super::operation::Operation;
use super::root;
use crate::Controller;

pub(super) struct Url {
    path: &'static str,
    answers_json: bool,
    methods: MethodRouter<Controller>,
    rules: Vec<(&'static str, AccessRule)>,
}

impl Url {
    /// The URLs of `operations`, each with all of its methods.
    ///
    /// # Panics
    ///
    /// If two operations have the same method and path.
    pub(super) fn of_all(operations: Vec<Operation>) -> Vec<Self> {
        let mut urls: Vec<Self> = Vec::new();
        for operation in operations {
            match urls.iter().position(|url| url.path == operation.path) {
                Some(place) => urls[place].add(operation),
                None => urls.push(Self::of(operation)),
            }
        }
        urls
    }

    fn of(operation: Operation) -> Self {
        let answers_json = operation.answers_json();
        let Operation { method, path, rule, handler, .. } = operation;
        Self { path, answers_json, methods: handler, rules: vec![(method, rule)] }
    }

    fn add(&mut self, operation: Operation) {
        self.answers_json &= operation.answers_json();
        self.rules.push((operation.method, operation.rule));
        self.methods = std::mem::take(&mut self.methods).merge(operation.handler);
    }

    /// Adds the URL to `router`.
    pub(super) fn mounted(self, router: Router<Controller>, controller: &Controller) -> Router<Controller> {
        let allow = self.allow();
        let Self { path, answers_json, methods, rules } = self;
        let guard = RouteGuard { controller: controller.clone(), rules, answers_json, allow };
        let methods = methods.fallback(root::other_method).layer(from_fn_with_state(Arc::new(guard), enter));
        if takes_slash(path) {
            router.route(&format!("{path}/"), methods.clone()).route(path, methods)
        } else {
            router.route(path, methods)
        }
    }

    /// Value of `Allow`: the methods, HEAD wherever there is GET, and OPTIONS.
    fn allow(&self) -> HeaderValue {
        let names = self.rules.iter().map(|(name, _)| *name);
        let head = names.clone().any(|name| name == "GET").then_some("HEAD");
        let names: Vec<_> = names.chain(head).chain(["OPTIONS"]).collect();
        HeaderValue::from_str(&names.join(", ")).expect("names of methods are plain ASCII")
    }
}

/// Returns true if a path is found with a slash at its end, too. One that has a slash there, a file's, and one that
/// ends with a name of several parts are found as they are only.
fn takes_slash(path: &str) -> bool {
    let last = path.rsplit('/').next().unwrap_or_default();
    !last.is_empty() && !last.contains('.') && !last.starts_with("{*")
}

/// Checks route: admits or refuses each request before its handler.
struct RouteGuard {
    controller: Controller,
    rules: Vec<(&'static str, AccessRule)>,
    answers_json: bool,
    allow: HeaderValue,
}

impl RouteGuard {
    /// Rule of the URL as a whole. Its methods differ only in the access to the app.
    fn rule(&self) -> AccessRule {
        let nobody = needs(Action::Write, Resource::Administrators);
        self.rules.first().map_or(nobody, |(_, rule)| *rule)
    }
}

/// Rule of a method; `None` if the URL does not have it.
fn rule_of(rules: &[(&'static str, AccessRule)], method: &Method) -> Option<AccessRule> {
    let name = if method == Method::HEAD { "GET" } else { method.as_str() };
    rules.iter().find(|(known, _)| *known == name).map(|(_, rule)| *rule)
}

async fn enter(State(guard): State<Arc<RouteGuard>>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if !has_plausible_app(path) || !is_text(path) {
        return ApiError::unknown_url().into_response();
    }
    let mut response = match admit(&guard, request).await {
        Ok(request) => next.run(request).await,
        Err(error) => error.into_response(),
    };
    response.headers_mut().insert(ALLOW, guard.allow.clone());
    response
}

async fn admit(guard: &RouteGuard, mut request: Request) -> Result<Request, ApiError> {
    // Large, and gone before the handler begins.
    Box::pin(access::admit(&guard.controller, guard.rule(), &mut request)).await?;
    if guard.rule() == AccessRule::Anyone && !is_small(&request) {
        let detail = format!("Request body is larger than {SMALL_BODY_BYTES} bytes.");
        return Err(ApiError::detail(StatusCode::PAYLOAD_TOO_LARGE, detail));
    }
    if guard.answers_json && !accepts_json(&request) {
        return Err(ApiError::not_acceptable());
    }
    match rule_of(&guard.rules, request.method()) {
        Some(rule) => Box::pin(access::admit_to_app(&guard.controller, rule, request)).await,
        // Answered with 405.
        None => Ok(request),
    }
}

/// Returns true if the body takes nothing of the memory for large ones: enough for callers without a token.
fn is_small(request: &Request) -> bool {
    let length = request.body().size_hint().exact();
    length.is_some_and(|length| length <= SMALL_BODY_BYTES as u64)
}

/// Names of apps in URLs consist of these characters, else the URL does not exist (docs/spec/api.md 1.2).
fn has_plausible_app(path: &str) -> bool {
    let Some(rest) = path.strip_prefix("/v2/apps/") else { return true };
    let app = rest.split('/').next().unwrap_or_default();
    app.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// Returns true if the decoded path is text that a database accepts.
fn is_text(path: &str) -> bool {
    let mut pieces = path.split('%');
    let mut decoded = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        let byte = piece.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        decoded.extend(byte);
        decoded.extend_from_slice(&piece.as_bytes()[if byte.is_some() { 2 } else { 0 }..]);
    }
    !decoded.contains(&0) && std::str::from_utf8(&decoded).is_ok()
}

fn accepts_json(request: &Request) -> bool {
    let mut accepted = request.headers().get_all(ACCEPT).iter().peekable();
    if accepted.peek().is_none() {
        return true;
    }
    let ranges = accepted.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    ranges
        .map(|range| range.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
        .any(|range| matches!(range.as_str(), "" | "*/*" | "application/*" | "application/json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_an_app_may_have_make_a_url() {
        for good in ["/v2/apps", "/v2/apps/", "/v2/apps/blog", "/v2/apps/b-1/config/", "/v2/keys/A/B"] {
            assert!(has_plausible_app(good), "{good}");
        }
        for bad in ["/v2/apps/Blog", "/v2/apps/a_b/config", "/v2/apps/a%20b", "/v2/apps/../x"] {
            assert!(!has_plausible_app(bad), "{bad}");
        }
    }

    #[test]
    fn a_method_without_an_operation_is_for_nobody() {
        let urls = Url::of_all(crate::http::public());
        let apps = urls.iter().find(|url| url.path == "/v2/apps").expect("it is there");

        assert_eq!(rule_of(&apps.rules, &Method::PUT), None);
        let list = needs(Action::Read, Resource::Apps);
        assert_eq!(rule_of(&apps.rules, &Method::HEAD), Some(list));
    }

    #[test]
    fn a_slash_at_the_end_is_taken_where_it_means_nothing() {
        for path in ["/v2/apps", "/v2/apps/{app}", "/v2/apps/{app}/certs/auto"] {
            assert!(takes_slash(path), "{path}");
        }
        for path in ["/v2/", "/v2/openapi.json", "/v2/auth/login/", "/v2/keys/{*id}"] {
            assert!(!takes_slash(path), "{path}");
        }
    }

    #[test]
    fn a_path_is_text_once_it_is_decoded() {
        for good in ["/v2/keys/a", "/v2/keys/%C3%A4", "/v2/keys/100%", "/v2/keys/%zz"] {
            assert!(is_text(good), "{good}");
        }
        for bad in ["/v2/keys/%ff", "/v2/keys/a%00b", "/v2/keys/%C3"] {
            assert!(!is_text(bad), "{bad}");
        }
    }
}
