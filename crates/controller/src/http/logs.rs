//! An app's log (api.md 4.13): relayed from the logger, which alone keeps lines.

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};

use super::access::ThisApp;
use super::error::ApiError;
use crate::Controller;

/// The last lines, as plain text; 204 where there are none.
pub(crate) async fn lines(
    State(controller): State<Controller>,
    ThisApp(app): ThisApp,
    Query(parameters): Query<Vec<(String, String)>>,
) -> Result<Response, ApiError> {
    let unavailable =
        || ApiError::text(StatusCode::INTERNAL_SERVER_ERROR, format!("Error accessing logs for {app}"));
    let logger = controller.logger.as_ref().ok_or_else(unavailable)?;
    match logger.lines(&app, wanted_count(&parameters)).await {
        Ok(Some(text)) => Ok(([(CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()),
        Ok(None) => Ok(StatusCode::NO_CONTENT.into_response()),
        Err(error) => Err(unavailable().because(error)),
    }
}

/// How many lines are asked for; what is no number counts as not asked.
fn wanted_count(parameters: &[(String, String)]) -> Option<u64> {
    let (_, count) = parameters.iter().rev().find(|(name, _)| name == "log_lines")?;
    count.trim().parse().ok()
}
