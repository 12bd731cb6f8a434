//! Administrators of the platform (docs/spec/api.md 4.3). An administrator may demote anyone, also himself.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use domain::users::USERNAME_LENGTH_MAX;
use store::StoreError;

use super::body::RawBody;
use super::error::ApiError;
use super::paging::Paging;
use super::users::named;
use crate::Controller;

/// `GET /v2/admin/perms/`.
pub(crate) async fn list(
    State(controller): State<Controller>,
    paging: Paging,
) -> Result<Json<api::Page<api::perms::Administrator>>, ApiError> {
    let admins = controller.store.superusers(paging.page).await?;
    Ok(paging.answer(admins, |user| api::perms::Administrator {
        username: user.username,
        is_superuser: user.is_superuser,
    }))
}

/// `POST /v2/admin/perms/`.
pub(crate) async fn grant(
    State(controller): State<Controller>,
    body: RawBody,
) -> Result<StatusCode, ApiError> {
    let mut fields = body.fields()?;
    let username = fields.text("username", USERNAME_LENGTH_MAX);
    fields.finish()?;
    set(&controller, &username, true).await?;
    Ok(StatusCode::CREATED)
}

/// `DELETE /v2/admin/perms/{username}`, also for who is no administrator.
pub(crate) async fn revoke(
    State(controller): State<Controller>,
    Path(username): Path<String>,
) -> Result<StatusCode, ApiError> {
    set(&controller, &username, false).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn set(controller: &Controller, username: &str, is_superuser: bool) -> Result<(), ApiError> {
    let username = named(controller, username).await?.username;
    controller.store.set_superuser(&username, is_superuser).await.map_err(|error| match error {
        StoreError::NotFound { .. } => ApiError::missing("User"),
        error => error.into(),
    })?;
    controller.access_version.changed().await;
    Ok(())
}
