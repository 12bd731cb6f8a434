//! Collaborators of an app (docs/spec/api.md 4.6).

use api::perms::{COLLABORATOR_PATH, COLLABORATORS_PATH};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use domain::access::Action::{Delete, Read, Write};
use domain::access::{AccessRule, Permission, Resource, needs, permit};
use domain::users::USERNAME_LENGTH_MAX;
use jiff::Timestamp;

use super::access::{Caller, ThisApp, roles_on};
use super::body::RawBody;
use super::error::ApiError;
use super::operation::{Operation, delete, get, post};
use super::users::named;
use crate::Controller;

const REVOKE: Permission = Permission::new(Delete, Resource::Collaborators);

pub(super) fn operations() -> Vec<Operation> {
    vec![
        get(COLLABORATORS_PATH, needs(Read, Resource::Collaborators), "Lists collaborators", list)
            .gives::<api::perms::Collaborators>(200),
        post(COLLABORATORS_PATH, needs(Write, Resource::Collaborators), "Adds a collaborator", grant)
            .takes::<api::perms::Grant>()
            .empty(201),
        delete(COLLABORATOR_PATH, AccessRule::NeedsUnlessNamed(REVOKE), "Removes a collaborator", revoke),
    ]
}

/// `GET /v2/apps/{app}/perms/`: those to whom the app was granted, its owner not among them.
async fn list(
    State(controller): State<Controller>,
    ThisApp(app): ThisApp,
) -> Result<Json<api::perms::Collaborators>, ApiError> {
    let users = controller.store.collaborators(&app).await?;
    Ok(Json(api::perms::Collaborators { users }))
}

/// `POST /v2/apps/{app}/perms/`. Granting again is fine.
async fn grant(
    State(controller): State<Controller>,
    ThisApp(app): ThisApp,
    body: RawBody,
) -> Result<StatusCode, ApiError> {
    let mut fields = body.fields()?;
    let username = fields.text("username", USERNAME_LENGTH_MAX);
    fields.finish()?;
    let username = named(&controller, &username).await?.username;
    if controller.store.add_collaborator(&app, &username, Timestamp::now()).await? {
        controller.say(&app, format!("User {username} was granted access to {app}"));
    }
    Ok(StatusCode::CREATED)
}

/// `DELETE /v2/apps/{app}/perms/{username}`: by the owner, or by the named user himself.
async fn revoke(
    State(controller): State<Controller>,
    caller: Caller,
    Path((app, username)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let (app, roles) = roles_on(&controller, &caller, &app).await?;
    let target = named(&controller, &username).await?;
    let is_granted = controller.store.is_collaborator(&app, &username).await?;
    let may_revoke = permit(&roles, REVOKE) || caller.name() == username;
    if !may_revoke || !(is_granted || target.is_superuser) {
        return Err(ApiError::forbidden());
    }
    if controller.store.remove_collaborator(&app, &username).await? {
        controller.access_version.changed().await;
        controller.say(&app, format!("User {username} was revoked access to {app}"));
    }
    Ok(StatusCode::NO_CONTENT)
}
