//! The outcome of a recorded change, as an answer. The deployer carries it out; a handler only waits.

use axum::http::StatusCode;
use domain::AppName;

use super::error::ApiError;
use crate::Controller;
use crate::deployer::{DeployOutcome, RoutingError};

/// Waits until a release runs; there is nothing to wait for where it has no build.
pub(super) async fn of_release(controller: &Controller, deploy: Option<i64>) -> Result<(), ApiError> {
    of(controller, deploy, |reason| ApiError::bad_request(format!("(app::deploy): {reason}"))).await
}

/// Waits until as many replicas run as asked for.
pub(super) async fn of_scale(controller: &Controller, deploy: Option<i64>) -> Result<(), ApiError> {
    of(controller, deploy, |reason| unavailable(format!("(scale): {reason}"))).await
}

/// Waits until an app runs by its new settings.
pub(super) async fn of_settings(controller: &Controller, deploy: Option<i64>) -> Result<(), ApiError> {
    of(controller, deploy, ApiError::bad_request).await
}

/// Waits until nothing is left of an app.
pub(super) async fn of_removal(controller: &Controller, app: &AppName) -> Result<(), ApiError> {
    if controller.wait_for_removal(app).await? {
        Ok(())
    } else {
        Err(unavailable(format!("{app} is still being removed; that goes on.")))
    }
}

/// Gives the engine the app's routing. A recorded change stays recorded if that fails.
pub(super) async fn of_routing(controller: &Controller, app: &AppName) -> Result<(), ApiError> {
    controller.refresh_routing(app).await.map_err(|error| match error {
        RoutingError::Store(error) => error.into(),
        RoutingError::Engine(error) => {
            let detail = format!("Recorded, but the routers do not know of it yet: {error}");
            ApiError::unavailable(detail, error)
        }
    })
}

async fn of(
    controller: &Controller,
    deploy: Option<i64>,
    failed: impl Fn(String) -> ApiError,
) -> Result<(), ApiError> {
    let Some(deploy) = deploy else { return Ok(()) };
    match controller.wait_for(deploy).await? {
        DeployOutcome::Succeeded => Ok(()),
        DeployOutcome::Failed { reason } => Err(failed(reason)),
        DeployOutcome::Removed => Err(ApiError::missing("App")),
        DeployOutcome::Unfinished => {
            Err(unavailable("The deploy is still under way; it goes on.".to_owned()))
        }
    }
}

fn unavailable(detail: String) -> ApiError {
    ApiError::detail(StatusCode::SERVICE_UNAVAILABLE, detail)
}
