//! The root of the API, by which clients recognize a controller, and unknown URLs.

use axum::Json;
use axum::http::Method;
use domain::access::{Action, Resource, needs};
use serde_json::{Value, json};

use super::error::ApiError;
use super::operation::{Operation, get};

pub(super) fn operations() -> Vec<Operation> {
    vec![
        get(
            api::ROOT_PATH,
            needs(Action::Read, Resource::Account),
            "Says whether the credentials are good",
            root,
        )
        .any(),
    ]
}

/// `GET /v2/`.
async fn root() -> Json<Value> {
    Json(json!({}))
}

/// Any other URL.
pub(crate) async fn unknown_url() -> ApiError {
    ApiError::unknown_url()
}

/// A URL that exists, with a method that it does not have. OPTIONS describes the URL; no client needs it.
pub(crate) async fn other_method(method: Method) -> Result<Json<Value>, ApiError> {
    if method == Method::OPTIONS {
        let parses = ["application/json", "application/x-www-form-urlencoded"];
        return Ok(Json(json!({"renders": ["application/json"], "parses": parses})));
    }
    Err(ApiError::method_not_allowed(&method))
}
