//! Administrators of the platform (docs/spec/api.md 4.3). An administrator may demote anyone, also himself.

use api::perms::{ADMINISTRATOR_PATH, ADMINISTRATORS_PATH};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use domain::access::Action::{Delete, Read, Write};
use domain::access::{Resource, needs};
use domain::users::USERNAME_LENGTH_MAX;
use store::StoreError;

use super::body::RawBody;
use super::error::ApiError;
use super::operation::{Operation, delete, get, post};
use super::paging::Paging;
use super::users::named;
use crate::Controller;

pub(super) fn operations() -> Vec<Operation> {
    vec![
        get(ADMINISTRATORS_PATH, needs(Read, Resource::Administrators), "Lists administrators", list)
            .page::<api::perms::Administrator>(),
        post(
            ADMINISTRATORS_PATH,
            needs(Write, Resource::Administrators),
            "Makes a user an administrator",
            grant,
        )
        .takes::<api::perms::Grant>()
        .empty(201),
        delete(
            ADMINISTRATOR_PATH,
            needs(Delete, Resource::Administrators),
            "Makes an administrator an ordinary user",
            revoke,
        ),
    ]
}

/// `GET /v2/admin/perms/`.
async fn list(
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
async fn grant(State(controller): State<Controller>, body: RawBody) -> Result<StatusCode, ApiError> {
    let mut fields = body.fields()?;
    let username = fields.text("username", USERNAME_LENGTH_MAX);
    fields.finish()?;
    set(&controller, &username, true).await?;
    Ok(StatusCode::CREATED)
}

/// `DELETE /v2/admin/perms/{username}`, also for who is no administrator.
async fn revoke(
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
