//! Liveness and readiness of the controller.

use axum::extract::State;
use axum::response::Html;

use super::error::ApiError;
use crate::Controller;

/// `GET /healthz`: the process answers.
pub(crate) async fn alive() -> Html<&'static str> {
    Html("OK")
}

/// `GET /readiness`: the database takes writes too.
pub(crate) async fn ready(State(controller): State<Controller>) -> Result<Html<&'static str>, ApiError> {
    controller.store.prove_write().await?;
    Ok(Html("OK"))
}
