//! The whitelist, an entry at a time (docs/spec/api.md 4.17); it is part of the settings.

use api::whitelist::WHITELIST_PATH;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use domain::access::Action::{Delete, Read, Write};
use domain::access::{Resource, needs};
use domain::settings::{SettingsChange, parse_addresses};
use serde_json::Value;

use super::access::{Caller, ThisApp};
use super::body::RawBody;
use super::error::ApiError;
use super::operation::{Operation, delete, get, post};
use super::settings::carried_out;
use crate::Controller;

pub(super) fn operations() -> Vec<Operation> {
    vec![
        get(WHITELIST_PATH, needs(Read, Resource::Whitelist), "Lists addresses that may reach an app", list)
            .gives::<api::whitelist::Whitelist>(200),
        post(WHITELIST_PATH, needs(Write, Resource::Whitelist), "Adds addresses", add)
            .takes::<api::whitelist::Whitelist>()
            .gives::<api::whitelist::Whitelist>(201),
        delete(WHITELIST_PATH, needs(Delete, Resource::Whitelist), "Removes addresses", remove)
            .takes::<api::whitelist::Whitelist>(),
    ]
}

/// `GET …/whitelist/`.
async fn list(
    State(controller): State<Controller>,
    ThisApp(app): ThisApp,
) -> Result<Json<api::whitelist::Whitelist>, ApiError> {
    let addresses = controller.store.settings(&app).await?.settings.whitelist;
    Ok(Json(api::whitelist::Whitelist { addresses }))
}

/// `POST …/whitelist/`: adds to the list.
async fn add(
    State(controller): State<Controller>,
    caller: Caller,
    ThisApp(app): ThisApp,
    body: RawBody,
) -> Result<(StatusCode, Json<api::whitelist::Whitelist>), ApiError> {
    let new = addresses(&body)?;
    let record = carried_out(&controller, &app, caller.name(), SettingsChange::Admitted(&new)).await?;
    let addresses = record.settings.whitelist;
    Ok((StatusCode::CREATED, Json(api::whitelist::Whitelist { addresses })))
}

/// `DELETE …/whitelist/` with a body: all of its addresses or none.
async fn remove(
    State(controller): State<Controller>,
    caller: Caller,
    ThisApp(app): ThisApp,
    body: RawBody,
) -> Result<StatusCode, ApiError> {
    let gone = addresses(&body)?;
    carried_out(&controller, &app, caller.name(), SettingsChange::Dismissed(&gone)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// An invalid address gives a bare array, which clients expect here.
fn addresses(body: &RawBody) -> Result<Vec<String>, ApiError> {
    let mut fields = body.fields()?;
    let given = fields.given("addresses");
    fields.finish()?;
    parse_addresses(&given).map_err(|fault| match given {
        Value::Array(_) => ApiError::message(fault),
        _ => ApiError::field("addresses", fault),
    })
}
