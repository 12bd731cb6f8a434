//! HTTPS enforcement of an app (docs/spec/api.md 4.18).

use api::tls::TLS_PATH;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use domain::access::Action::{Read, Write};
use domain::access::{Resource, needs};
use domain::tls::parse_enforcement;
use jiff::Timestamp;
use store::TlsRecord;

use super::access::{Caller, ThisApp};
use super::body::RawBody;
use super::error::ApiError;
use super::operation::{Operation, get, post};
use super::outcome;
use super::paging::wire_time;
use crate::Controller;

pub(super) fn operations() -> Vec<Operation> {
    vec![
        get(TLS_PATH, needs(Read, Resource::Settings), "Says whether HTTPS is enforced", info)
            .gives::<api::tls::Tls>(200),
        post(TLS_PATH, needs(Write, Resource::Settings), "Enforces HTTPS or stops enforcing it", change)
            .takes::<api::tls::TlsChange>()
            .gives::<api::tls::Tls>(201),
    ]
}

/// `GET …/tls/`.
async fn info(
    State(controller): State<Controller>,
    ThisApp(app): ThisApp,
) -> Result<Json<api::tls::Tls>, ApiError> {
    Ok(Json(show(controller.store.tls(&app).await?)))
}

/// `POST …/tls/`.
async fn change(
    State(controller): State<Controller>,
    caller: Caller,
    ThisApp(app): ThisApp,
    body: RawBody,
) -> Result<(StatusCode, Json<api::tls::Tls>), ApiError> {
    let enforced = parse_enforcement(body.fields()?.value("https_enforced"))?;
    let record = controller.store.change_tls(&app, caller.name(), enforced, Timestamp::now()).await?;
    outcome::of_routing(&controller, &app).await?;
    Ok((StatusCode::CREATED, Json(show(record))))
}

fn show(record: TlsRecord) -> api::tls::Tls {
    let TlsRecord { uuid, app, owner, https_enforced, created } = record;
    let created = wire_time(created);
    api::tls::Tls { uuid, app: app.to_string(), owner, updated: created.clone(), created, https_enforced }
}
