//! An app's log (docs/spec/api.md 4.13): relayed from the logger, which alone keeps lines.

use std::time::Duration;

use api::logs::{FOLLOW_PATH, LOGS_PATH};
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use domain::AppName;
use domain::access::{AccessRule, Action, Permission, Resource};
use futures_util::stream;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use logger::LoggerClient;
use tokio::time::{Instant, timeout, timeout_at};

use super::access::{Caller, CallerToken, ThisApp};
use super::access_watch::AccessWatch;
use super::error::ApiError;
use super::operation::{Operation, get};
use crate::Controller;
use crate::concurrency_limits::{ConcurrencyPermit, LimitExceeded};
use crate::serve::ShutdownSignal;

/// The logger gives a sign of life more often than this.
const SILENCE_MAX: Duration = Duration::from_secs(45);
/// Longest time that a log is followed in one request: the permission is checked again for the next one.
const FOLLOWED_FOR_MAX: Duration = Duration::from_secs(60 * 60);

const FOLLOW_SUMMARY: &str = "Shows the last lines of the log, or those after the one with the id `after`, and new \
    ones as they come";

type Parameters = Query<Vec<(String, String)>>;

const READ_LOGS: Permission = Permission::new(Action::Read, Resource::Logs);

pub(super) fn operations() -> Vec<Operation> {
    vec![
        get(LOGS_PATH, AccessRule::Needs(READ_LOGS), "Shows the last lines of the log", lines)
            .lines()
            .empty(204),
        get(FOLLOW_PATH, AccessRule::Needs(READ_LOGS), FOLLOW_SUMMARY, follow)
            .events::<api::logs::LogEvent>(),
    ]
}

/// The last lines, as plain text; 204 where there are none.
async fn lines(
    State(controller): State<Controller>,
    ThisApp(app): ThisApp,
    Query(parameters): Parameters,
) -> Result<Response, ApiError> {
    let logger = logger(&controller, &app)?;
    match logger.lines(&app, number(&parameters, "log_lines")).await {
        Ok(Some(text)) => Ok(([(CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()),
        Ok(None) => Ok(StatusCode::NO_CONTENT.into_response()),
        Err(error) => Err(unavailable(&app).because(error)),
    }
}

/// The last lines and all later ones, each event a line of JSON, until the reader hangs up.
async fn follow(
    State(controller): State<Controller>,
    caller: Caller,
    token: CallerToken,
    ThisApp(app): ThisApp,
    closing: ShutdownSignal,
    Query(parameters): Parameters,
) -> Result<Response, ApiError> {
    let logger = logger(&controller, &app)?;
    let permit = controller.limits.followers.acquire(caller.name()).map_err(too_many)?;
    let (count, after) = (number(&parameters, "log_lines"), number(&parameters, "after"));
    let body = logger.follow(&app, count, after).await.map_err(|error| unavailable(&app).because(error))?;
    let access = AccessWatch::new(&controller, token, &app, READ_LOGS);
    let until = Instant::now() + FOLLOWED_FOR_MAX;
    let relay = LogRelay { body, closing, access, until, _permit: permit };
    // Proxies that collect answers would hold lines back.
    let headers = [(CONTENT_TYPE, "application/x-ndjson"), (CACHE_CONTROL, "no-store")];
    let body = Body::from_stream(stream::unfold(relay, LogRelay::next));
    Ok((headers, [("x-accel-buffering", "no")], body).into_response())
}

fn logger<'a>(controller: &'a Controller, app: &AppName) -> Result<&'a LoggerClient, ApiError> {
    controller.logger.as_ref().ok_or_else(|| unavailable(app))
}

fn unavailable(app: &AppName) -> ApiError {
    ApiError::text(StatusCode::INTERNAL_SERVER_ERROR, format!("Error accessing logs for {app}"))
}

fn too_many(exhausted: LimitExceeded) -> ApiError {
    match exhausted {
        LimitExceeded::Total => {
            ApiError::too_many("Too many logs are followed at the moment, try again later.")
        }
        LimitExceeded::Share(most) => ApiError::too_many(format!(
            "You follow {most} logs, which is the most for one user: end one first."
        )),
    }
}

/// The logger's response, relayed to one reader. Data that the reader does not take waits at the logger, which
/// drops lines rather than wait.
struct LogRelay {
    body: Incoming,
    closing: ShutdownSignal,
    access: AccessWatch,
    until: Instant,
    _permit: ConcurrencyPermit,
}

impl LogRelay {
    /// The next piece; `None` at the end. An end is no error: the reader asks again for what comes after.
    async fn next(mut self) -> Option<(Result<Bytes, hyper::Error>, Self)> {
        loop {
            let frame = tokio::select! {
                frame = timeout_at(self.until, timeout(SILENCE_MAX, self.body.frame())) => frame,
                () = self.closing.begun() => return None,
                () = self.access.ended() => return None,
            };
            match frame {
                Ok(Ok(Some(Ok(frame)))) => {
                    if let Ok(piece) = frame.into_data() {
                        return Some((Ok(piece), self));
                    }
                }
                Ok(Ok(Some(Err(error)))) => return Some((Err(error), self)),
                Ok(Ok(None)) | Ok(Err(_)) | Err(_) => return None,
            }
        }
    }
}

/// Reads a number of the query; anything else counts as absent.
fn number(parameters: &[(String, String)], name: &str) -> Option<u64> {
    let (_, value) = parameters.iter().rev().find(|(own, _)| own == name)?;
    value.trim().parse().ok()
}
