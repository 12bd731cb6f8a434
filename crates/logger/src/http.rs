//! The logger over HTTP, for the controller (components.md 7.3).

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Query, Request, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use domain::AppName;

use crate::KEY_HEADER;
use crate::collect::{Shared, lock};

/// Lines that are given where the request names no number, or none that is one.
const LINES_DEFAULT: usize = 100;

pub(crate) fn routes(store: Shared, key: Option<String>) -> Router {
    let key: Option<Arc<str>> = key.map(Arc::from);
    Router::new()
        .route("/logs/{app}", get(lines).delete(forget))
        .with_state(store)
        .layer(middleware::from_fn_with_state(key, with_key))
        .route("/healthz", get(async || StatusCode::OK))
}

/// The last lines of an app as text; 204 where there are none.
async fn lines(
    State(store): State<Shared>,
    Path(app): Path<String>,
    Query(parameters): Query<Vec<(String, String)>>,
) -> Response {
    let Ok(app) = AppName::parse(&app) else { return StatusCode::NOT_FOUND.into_response() };
    let count = wanted_count(&parameters);
    let read = tokio::task::spawn_blocking(move || {
        // Unlocked before the files are read.
        let reading = lock(&store).read(&app, count);
        reading?.map_or_else(|| Ok(String::new()), crate::store::Reading::render)
    });
    match read.await.unwrap_or_else(|error| Err(std::io::Error::other(error))) {
        Ok(text) if text.is_empty() => StatusCode::NO_CONTENT.into_response(),
        Ok(text) => ([(CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response(),
        Err(error) => failed(&error),
    }
}

/// Drops what is kept of an app that is gone.
async fn forget(State(store): State<Shared>, Path(app): Path<String>) -> Response {
    let Ok(app) = AppName::parse(&app) else { return StatusCode::NOT_FOUND.into_response() };
    let forgotten = tokio::task::spawn_blocking(move || lock(&store).forget(&app));
    match forgotten.await.unwrap_or_else(|error| Err(std::io::Error::other(error))) {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => failed(&error),
    }
}

fn failed(error: &std::io::Error) -> Response {
    tracing::error!(%error, "cannot read or drop kept lines");
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}

fn wanted_count(parameters: &[(String, String)]) -> usize {
    let count = parameters.iter().rev().find(|(name, _)| name == "log_lines");
    count.and_then(|(_, count)| count.trim().parse().ok()).unwrap_or(LINES_DEFAULT)
}

async fn with_key(State(key): State<Option<Arc<str>>>, request: Request, next: Next) -> Response {
    let given = request.headers().get(KEY_HEADER).map_or(&b""[..], |value| value.as_bytes());
    match key {
        Some(key) if !is_same(key.as_bytes(), given) => StatusCode::UNAUTHORIZED.into_response(),
        _ => next.run(request).await,
    }
}

/// Takes as long for any two texts of the same length.
fn is_same(wanted: &[u8], given: &[u8]) -> bool {
    let difference = wanted.iter().zip(given).fold(0, |difference, (a, b)| difference | (a ^ b));
    wanted.len() == given.len() && difference == 0
}
