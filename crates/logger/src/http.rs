//! The logger over HTTP, for the controller (docs/spec/components.md 7.3).

use std::convert::Infallible;
use std::io::ErrorKind;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use domain::AppName;
use futures_util::{StreamExt as _, stream};
use listener::http::RequestBodyError;
use tokio::sync::watch;

use crate::batch::{self, BATCH_BYTES_MAX};
use crate::client::KEY_HEADER;
use crate::follow::{FollowState, Follower};
use crate::settings::LoggerSettings;
use crate::store::{SharedStore, lock};
use crate::tail;

/// Lines that are given where the request names no number, or none that is one.
const LINES_DEFAULT: usize = 100;

/// Reading and writing have keys of their own: agents that write lines need not read all logs.
pub(crate) fn routes(
    store: SharedStore,
    settings: &LoggerSettings,
    shutdown: &watch::Receiver<bool>,
) -> Router {
    let LoggerSettings { key, lines_key, .. } = settings;
    let key: Option<Arc<str>> = key.as_deref().map(Arc::from);
    let reading = Router::new()
        .route("/logs/{app}", get(lines).delete(forget))
        .with_state(Arc::clone(&store))
        .route("/logs/{app}/follow", get(follow))
        .with_state(FollowState::new(Arc::clone(&store), shutdown.clone()))
        .layer(middleware::from_fn_with_state(key, with_key));
    let routes = reading.route("/healthz", get(async || StatusCode::OK));
    let Some(lines_key) = lines_key else { return routes };
    let writing = Router::new()
        .route("/lines", post(take))
        .with_state(store)
        .layer(DefaultBodyLimit::max(BATCH_BYTES_MAX))
        .layer(middleware::from_fn_with_state(Some(Arc::from(lines_key.as_str())), with_key));
    routes.merge(writing)
}

/// Receives a batch of lines, a JSON value each. 204 means that it is on disk; after 507 or 500 it was not kept
/// and must be sent again.
async fn take(State(store): State<SharedStore>, batch: Result<Bytes, BytesRejection>) -> Response {
    let batch = match batch {
        Ok(batch) => batch,
        Err(refused) => return not_whole(&refused),
    };
    let lines = batch::parse(&batch);
    let written = tokio::task::spawn_blocking(move || lock(&store).write(lines)).await;
    match written.unwrap_or_else(|error| Err(std::io::Error::other(error))) {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) if matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => {
            (StatusCode::INSUFFICIENT_STORAGE, "the logger's disk is full; free some space\n").into_response()
        }
        Err(error) => failed(&error),
    }
}

/// Reason why a batch was rejected: a retry, or smaller batches, may succeed.
fn not_whole(refused: &BytesRejection) -> Response {
    match RequestBodyError::within(refused) {
        Some(error) => (error.status(), error.to_string()).into_response(),
        None => (refused.status(), refused.body_text()).into_response(),
    }
}

/// The last lines of an app as text; 204 where there are none.
async fn lines(
    State(store): State<SharedStore>,
    Path(app): Path<String>,
    Query(parameters): Query<Vec<(String, String)>>,
) -> Response {
    let Ok(app) = AppName::parse(&app) else { return StatusCode::NOT_FOUND.into_response() };
    let count = wanted_count(&parameters);
    let read = tokio::task::spawn_blocking(move || tail::text(&store, &app, count));
    match read.await.unwrap_or_else(|error| Err(std::io::Error::other(error))) {
        Ok(text) if text.is_empty() => StatusCode::NO_CONTENT.into_response(),
        Ok(text) => ([(CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response(),
        Err(error) => failed(&error),
    }
}

/// Responds at once and streams until the reader hangs up, the app is removed or the logger ends.
async fn follow(
    State(state): State<FollowState>,
    Path(app): Path<String>,
    Query(parameters): Query<Vec<(String, String)>>,
) -> Response {
    let Ok(app) = AppName::parse(&app) else { return StatusCode::NOT_FOUND.into_response() };
    let (count, after) = (wanted_count(&parameters), number(&parameters, "after"));
    let begun = tokio::task::spawn_blocking(move || state.follow(app, count, after));
    match begun.await.unwrap_or_else(|error| Err(std::io::Error::other(error))) {
        Ok(Some(follower)) => {
            let pieces = stream::unfold(follower, Follower::next).map(Ok::<_, Infallible>);
            ([(CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(pieces)).into_response()
        }
        Ok(None) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Err(error) => failed(&error),
    }
}

/// Removes the lines of a removed app.
async fn forget(State(store): State<SharedStore>, Path(app): Path<String>) -> Response {
    let Ok(app) = AppName::parse(&app) else { return StatusCode::NOT_FOUND.into_response() };
    let forgotten = tokio::task::spawn_blocking(move || lock(&store).forget(&app));
    match forgotten.await.unwrap_or_else(|error| Err(std::io::Error::other(error))) {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => failed(&error),
    }
}

fn failed(error: &std::io::Error) -> Response {
    tracing::error!(%error, "cannot read, write or drop kept lines");
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}

fn wanted_count(parameters: &[(String, String)]) -> usize {
    number(parameters, "log_lines").and_then(|count| count.try_into().ok()).unwrap_or(LINES_DEFAULT)
}

/// Reads a number of the query; `None` for anything else.
fn number(parameters: &[(String, String)], name: &str) -> Option<u64> {
    let (_, value) = parameters.iter().rev().find(|(own, _)| own == name)?;
    value.trim().parse().ok()
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
