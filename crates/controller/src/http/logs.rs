//! An app's log (api.md 4.13): relayed from the logger, which alone keeps lines.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use domain::AppName;
use futures_util::stream;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout, timeout_at};

use super::access::ThisApp;
use super::error::ApiError;
use crate::Controller;
use crate::logger::Logger;
use crate::serve::Closing;

/// The logger gives a sign of life more often than this.
const SILENCE_MAX: Duration = Duration::from_secs(45);
/// How long a log is followed at a stretch: who comes back is asked for their permission again.
const FOLLOWED_FOR_MAX: Duration = Duration::from_secs(60 * 60);

type Parameters = Query<Vec<(String, String)>>;

/// The last lines, as plain text; 204 where there are none.
pub(crate) async fn lines(
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
pub(crate) async fn follow(
    State(controller): State<Controller>,
    ThisApp(app): ThisApp,
    closing: Closing,
    Query(parameters): Parameters,
) -> Result<Response, ApiError> {
    let logger = logger(&controller, &app)?;
    let place = controller.rooms.followers.clone().try_acquire_owned().map_err(|_| too_many())?;
    let (count, after) = (number(&parameters, "log_lines"), number(&parameters, "after"));
    let body = logger.follow(&app, count, after).await.map_err(|error| unavailable(&app).because(error))?;
    let relay = Relay { body, closing, until: Instant::now() + FOLLOWED_FOR_MAX, _place: place };
    // Proxies that collect answers would hold lines back.
    let headers = [(CONTENT_TYPE, "application/x-ndjson"), (CACHE_CONTROL, "no-store")];
    let body = Body::from_stream(stream::unfold(relay, Relay::next));
    Ok((headers, [("x-accel-buffering", "no")], body).into_response())
}

fn logger<'a>(controller: &'a Controller, app: &AppName) -> Result<&'a Logger, ApiError> {
    controller.logger.as_ref().ok_or_else(|| unavailable(app))
}

fn unavailable(app: &AppName) -> ApiError {
    ApiError::text(StatusCode::INTERNAL_SERVER_ERROR, format!("Error accessing logs for {app}"))
}

fn too_many() -> ApiError {
    ApiError::too_many("Too many logs are followed at the moment, try again later.")
}

/// The logger's answer on its way to one reader. What the reader does not take waits at the logger, which
/// drops lines sooner than it waits.
struct Relay {
    body: Incoming,
    closing: Closing,
    until: Instant,
    _place: OwnedSemaphorePermit,
}

impl Relay {
    /// The next piece; `None` at the end. An end is no error: the reader asks again for what comes after.
    async fn next(mut self) -> Option<(Result<Bytes, hyper::Error>, Self)> {
        loop {
            let frame = tokio::select! {
                frame = timeout_at(self.until, timeout(SILENCE_MAX, self.body.frame())) => frame,
                () = self.closing.begun() => return None,
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

/// A number in the query; what is no number counts as not given.
fn number(parameters: &[(String, String)], name: &str) -> Option<u64> {
    let (_, value) = parameters.iter().rev().find(|(own, _)| own == name)?;
    value.trim().parse().ok()
}
