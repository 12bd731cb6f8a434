//! Scaling (docs/spec/api.md 4.10): how many replicas of each process type an app wants.

use axum::extract::State;
use axum::http::StatusCode;
use domain::ProcessType;
use domain::access::{Action, Resource, needs};
use domain::structure::{ScaleError, Structure};
use serde_json::{Map, Value};

use super::access::{Caller, ThisApp};
use super::body::RawBody;
use super::error::ApiError;
use super::numbers::whole_number;
use super::operation::{Operation, post};
use super::outcome;
use crate::Controller;

pub(super) fn operations() -> Vec<Operation> {
    vec![
        post(
            api::pods::SCALE_PATH,
            needs(Action::Write, Resource::Processes),
            "Sets how many of each process type run",
            scale,
        )
        .takes::<api::pods::Scale>()
        .empty(204),
    ]
}

/// `POST …/scale/`: answers when as many replicas run as asked for.
async fn scale(
    State(controller): State<Controller>,
    caller: Caller,
    ThisApp(app): ThisApp,
    body: RawBody,
) -> Result<StatusCode, ApiError> {
    let change = parse_structure(body.fields()?.object())?;
    let deploy = controller.add_scale(&app, caller.name(), &change).await?;
    outcome::of_scale(&controller, deploy).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// All numbers are judged before any name is.
fn parse_structure(fields: &Map<String, Value>) -> Result<Structure, ApiError> {
    let mut numbers = Vec::with_capacity(fields.len());
    for (name, value) in fields {
        numbers.push((
            name,
            replicas(value)
                .map_err(|wrong| ApiError::bad_request(format!("Invalid scaling format: {wrong}")))?,
        ));
    }
    let named = numbers.into_iter().map(|(name, replicas)| {
        let process = ProcessType::parse(name).map_err(|_| ScaleError::NoSuchType(name.clone()))?;
        Ok((process, replicas))
    });
    Ok(named.collect::<Result<_, ScaleError>>()?)
}

fn replicas(value: &Value) -> Result<u32, String> {
    match whole_number(value)? {
        ..0 => Err("['Must be greater than or equal to zero']".to_owned()),
        number => Ok(u32::try_from(number).unwrap_or(u32::MAX)),
    }
}
