//! Users as administrators list them and as they see themselves (docs/spec/api.md 4.1 and 4.3).

use axum::Json;
use axum::extract::State;
use domain::access::{Action, Resource, needs};
use domain::users;
use store::UserRecord;

use super::access::Caller;
use super::error::ApiError;
use super::operation::{Operation, get};
use super::paging::{Paging, wire_time};
use crate::Controller;

pub(super) fn operations() -> Vec<Operation> {
    vec![
        get(
            api::users::WHOAMI_PATH,
            needs(Action::Read, Resource::Account),
            "Shows the caller's account",
            whoami,
        )
        .gives::<api::users::User>(200),
        get(api::users::USERS_PATH, needs(Action::Read, Resource::Users), "Lists all accounts", list)
            .page::<api::users::User>(),
    ]
}

/// `GET /v2/users/`.
async fn list(
    State(controller): State<Controller>,
    paging: Paging,
) -> Result<Json<api::Page<api::users::User>>, ApiError> {
    let users = controller.store.users(paging.page).await?;
    Ok(paging.answer(users, show))
}

/// `GET /v2/auth/whoami/`.
async fn whoami(Caller(user): Caller) -> Json<api::users::User> {
    Json(show(user))
}

/// A user on the wire.
pub(crate) fn show(user: UserRecord) -> api::users::User {
    let UserRecord {
        username,
        email,
        first_name,
        last_name,
        password_hash: _,
        is_superuser,
        is_staff,
        is_active,
        last_login,
        date_joined,
    } = user;
    api::users::User {
        email,
        username,
        first_name,
        last_name,
        is_superuser,
        is_staff,
        groups: Vec::new(),
        user_permissions: Vec::new(),
        last_login: last_login.map(wire_time),
        date_joined: wire_time(date_joined),
        is_active,
    }
}

/// The user that a request names, or 404.
pub(crate) async fn named(controller: &Controller, username: &str) -> Result<UserRecord, ApiError> {
    if users::check_username(username).is_err() {
        return Err(ApiError::missing("User"));
    }
    controller.store.user(username).await?.ok_or_else(|| ApiError::missing("User"))
}
