//! Services: paths of an app that go to another process type (docs/spec/api.md 4.19). No release is made.

use api::services::SERVICES_PATH;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use domain::ProcessType;
use domain::access::Action::{Delete, Read, Write};
use domain::access::{Resource, needs};
use domain::services::{self, PATTERN_LENGTH_MAX};
use jiff::Timestamp;
use store::{NewService, ServiceChange, ServiceRecord};

use super::access::ThisApp;
use super::body::RawBody;
use super::error::ApiError;
use super::operation::{Operation, delete, get, post};
use super::outcome;
use crate::Controller;

/// Longest text that is taken for a process type; the rule is tighter.
const TYPE_CHARS_MAX: usize = 253;

pub(super) fn operations() -> Vec<Operation> {
    vec![
        get(SERVICES_PATH, needs(Read, Resource::Services), "Lists services", list)
            .gives::<api::services::Services>(200),
        post(SERVICES_PATH, needs(Write, Resource::Services), "Adds a service or changes its paths", set)
            .takes::<api::services::Service>()
            .empty(201)
            .empty(204),
        delete(SERVICES_PATH, needs(Delete, Resource::Services), "Removes a service", remove)
            .takes::<api::services::ServiceName>(),
    ]
}

/// `GET …/services/`, newest first.
async fn list(
    State(controller): State<Controller>,
    ThisApp(app): ThisApp,
) -> Result<Json<api::services::Services>, ApiError> {
    let services = controller.store.services(&app).await?.into_iter().map(show).collect();
    Ok(Json(api::services::Services { services }))
}

/// `POST …/services/`: adds one, or changes its patterns; 204 if they are the same. Responds when the routers are
/// updated; if the process type does not listen, the change is undone.
async fn set(
    State(controller): State<Controller>,
    ThisApp(app): ThisApp,
    body: RawBody,
) -> Result<StatusCode, ApiError> {
    let mut fields = body.fields()?;
    let process = fields.text("procfile_type", TYPE_CHARS_MAX);
    let path_pattern = fields.text("path_pattern", PATTERN_LENGTH_MAX);
    fields.finish()?;
    let process =
        services::parse(&process, &path_pattern).map_err(|wrong| ApiError::message(wrong.to_string()))?;
    let new = NewService { app: app.clone(), process: process.clone(), path_pattern, now: Timestamp::now() };
    let deploy = match controller.set_service(new).await? {
        ServiceChange::Unchanged => return Ok(StatusCode::NO_CONTENT),
        ServiceChange::Changed => None,
        ServiceChange::Added { deploy } => deploy,
    };
    if let Err(failed) = outcome::of_settings(&controller, deploy).await {
        controller.store.remove_service(&app, &process).await?;
        outcome::of_routing(&controller, &app).await?;
        return Err(failed);
    }
    outcome::of_routing(&controller, &app).await?;
    Ok(StatusCode::CREATED)
}

/// `DELETE …/services/` with a body. What runs listens on until the next deploy: nothing is restarted for it.
async fn remove(
    State(controller): State<Controller>,
    ThisApp(app): ThisApp,
    body: RawBody,
) -> Result<StatusCode, ApiError> {
    let mut fields = body.fields()?;
    let process = fields.text("procfile_type", TYPE_CHARS_MAX);
    fields.finish()?;
    let process = ProcessType::parse(&process).map_err(|_| ApiError::missing("Service"))?;
    if !controller.store.remove_service(&app, &process).await? {
        return Err(ApiError::missing("Service"));
    }
    controller.say(&app, format!("service {process} removed"));
    outcome::of_routing(&controller, &app).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn show(service: ServiceRecord) -> api::services::Service {
    let ServiceRecord { app: _, process, path_pattern, created: _, updated: _ } = service;
    api::services::Service { procfile_type: process.to_string(), path_pattern }
}
