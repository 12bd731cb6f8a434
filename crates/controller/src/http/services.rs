//! Services: paths of an app that go to another process type (api.md 4.19).

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use domain::ProcessType;
use domain::services::{self, PATTERN_LENGTH_MAX};
use jiff::Timestamp;
use store::{NewService, Service};

use super::access::ThisApp;
use super::body::Body;
use super::error::ApiError;
use crate::Controller;

/// Longest text that is taken for a process type; the rule is tighter.
const TYPE_CHARS_MAX: usize = 253;

/// `GET …/services/`, newest first.
pub(crate) async fn list(
    State(controller): State<Controller>,
    ThisApp(app): ThisApp,
) -> Result<Json<api::services::Services>, ApiError> {
    let services = controller.store.services(&app).await?.into_iter().map(show).collect();
    Ok(Json(api::services::Services { services }))
}

/// `POST …/services/`: adds one, or changes its patterns; 204 where they are the same.
pub(crate) async fn set(
    State(controller): State<Controller>,
    ThisApp(app): ThisApp,
    body: Body,
) -> Result<StatusCode, ApiError> {
    let mut fields = body.fields()?;
    let process = fields.text("procfile_type", TYPE_CHARS_MAX);
    let path_pattern = fields.text("path_pattern", PATTERN_LENGTH_MAX);
    fields.finish()?;
    let process =
        services::parse(&process, &path_pattern).map_err(|wrong| ApiError::message(wrong.to_string()))?;
    let new = NewService { app: app.clone(), process: process.clone(), path_pattern, now: Timestamp::now() };
    if !controller.store.set_service(new).await? {
        return Ok(StatusCode::NO_CONTENT);
    }
    controller.say(&app, format!("service {process} updated"));
    Ok(StatusCode::CREATED)
}

/// `DELETE …/services/` with a body.
pub(crate) async fn remove(
    State(controller): State<Controller>,
    ThisApp(app): ThisApp,
    body: Body,
) -> Result<StatusCode, ApiError> {
    let mut fields = body.fields()?;
    let process = fields.text("procfile_type", TYPE_CHARS_MAX);
    fields.finish()?;
    let process = ProcessType::parse(&process).map_err(|_| ApiError::missing("Service"))?;
    if !controller.store.remove_service(&app, &process).await? {
        return Err(ApiError::missing("Service"));
    }
    controller.say(&app, format!("service {process} removed"));
    Ok(StatusCode::NO_CONTENT)
}

fn show(service: Service) -> api::services::Service {
    let Service { app: _, process, path_pattern, created: _, updated: _ } = service;
    api::services::Service { procfile_type: process.to_string(), path_pattern }
}
