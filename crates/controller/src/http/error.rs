//! Errors of the API: each shape of api.md 1.6 has a constructor, and statuses are decided here only.
//!
//! A failure of ours (500, 503) is logged once, when it becomes an answer, with its cause; the caller
//! learns no more than the text given here.

use axum::Json;
use axum::http::{Method, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use serde_json::{Map, Value, json};
use store::StoreError;

use crate::logins::Throttled;
use crate::passwords::Busy;

type Cause = Box<dyn std::error::Error + Send + Sync>;

const SERVER_ERROR: &str = "Server Error";
const UNKNOWN_URL: &str = "<h1>Not Found</h1><p>The requested resource was not found on this server.</p>";

/// Why a request was not answered as wished.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    body: Body,
    cause: Option<Cause>,
}

#[derive(Debug)]
enum Body {
    Json(Value),
    Html(&'static str),
    Text(String),
}

impl ApiError {
    fn json(status: StatusCode, body: Value) -> Self {
        Self { status, body: Body::Json(body), cause: None }
    }

    /// `{"detail": …}`, the shape of most errors.
    pub(crate) fn detail(status: StatusCode, detail: impl Into<String>) -> Self {
        Self::json(status, json!({"detail": detail.into()}))
    }

    /// 400 with one message about one field.
    pub(crate) fn field(name: &str, message: impl Into<String>) -> Self {
        Self::json(StatusCode::BAD_REQUEST, json!({name: [message.into()]}))
    }

    /// 400 with one message about no field in particular: a bare array.
    pub(crate) fn message(message: impl Into<String>) -> Self {
        Self::json(StatusCode::BAD_REQUEST, json!([message.into()]))
    }

    /// 400 with all messages about all fields: `{"field": ["…"]}`.
    pub(crate) fn fields(messages: Map<String, Value>) -> Self {
        Self::json(StatusCode::BAD_REQUEST, Value::Object(messages))
    }

    /// 400 `{"detail": …}`.
    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::detail(StatusCode::BAD_REQUEST, detail)
    }

    /// 401; the outer layer adds `WWW-Authenticate`.
    pub(crate) fn unauthorized(detail: impl Into<String>) -> Self {
        Self::detail(StatusCode::UNAUTHORIZED, detail)
    }

    /// 403 in the usual words.
    pub(crate) fn forbidden() -> Self {
        Self::detail(StatusCode::FORBIDDEN, "You do not have permission to perform this action.")
    }

    /// 404 for a row that is not there, as the bare JSON string that clients print: `noun` is `App`,
    /// `User`, `Key`, `Domain`, `Release`, …
    pub(crate) fn missing(noun: &str) -> Self {
        let text = format!("No {noun} matches the given query.");
        Self::json(StatusCode::NOT_FOUND, Value::String(text))
    }

    /// 404 as a page, for a URL that does not exist.
    pub(crate) fn unknown_url() -> Self {
        Self { status: StatusCode::NOT_FOUND, body: Body::Html(UNKNOWN_URL), cause: None }
    }

    pub(crate) fn method_not_allowed(method: &Method) -> Self {
        Self::detail(StatusCode::METHOD_NOT_ALLOWED, format!("Method \"{method}\" not allowed."))
    }

    pub(crate) fn not_acceptable() -> Self {
        Self::detail(StatusCode::NOT_ACCEPTABLE, "Could not satisfy the request Accept header.")
    }

    /// 409: a conflict, or nothing would change.
    pub(crate) fn conflict(detail: impl Into<String>) -> Self {
        Self::detail(StatusCode::CONFLICT, detail)
    }

    /// 422: unset of something that is not set.
    pub(crate) fn unprocessable(detail: impl Into<String>) -> Self {
        Self::detail(StatusCode::UNPROCESSABLE_ENTITY, detail)
    }

    /// 429: too many attempts.
    pub(crate) fn too_many(detail: impl Into<String>) -> Self {
        Self::detail(StatusCode::TOO_MANY_REQUESTS, detail)
    }

    /// 503: something that we need does not answer; `cause` goes to our log.
    pub(crate) fn unavailable(detail: impl Into<String>, cause: impl Into<Cause>) -> Self {
        Self { cause: Some(cause.into()), ..Self::detail(StatusCode::SERVICE_UNAVAILABLE, detail) }
    }

    /// 500 `{"detail":"Server Error"}`; `cause` goes to our log.
    pub(crate) fn internal(cause: impl Into<Cause>) -> Self {
        Self { cause: Some(cause.into()), ..Self::detail(StatusCode::INTERNAL_SERVER_ERROR, SERVER_ERROR) }
    }

    /// A status with a plain text, which only the logs endpoint answers.
    pub(crate) fn text(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, body: Body::Text(text.into()), cause: None }
    }

    /// Adds what to say in our log.
    pub(crate) fn because(self, cause: impl Into<Cause>) -> Self {
        Self { cause: Some(cause.into()), ..self }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let Self { status, body, cause } = self;
        if let Some(cause) = cause.as_deref() {
            tracing::error!(
                status = status.as_u16(),
                error = cause as &dyn std::error::Error,
                "request failed"
            );
        }
        match body {
            Body::Json(body) => (status, Json(body)).into_response(),
            Body::Html(page) => (status, Html(page)).into_response(),
            Body::Text(text) => (status, text).into_response(),
        }
    }
}

/// Handlers turn the misses and conflicts that they expect into their own words first; what is left
/// is trouble with the database.
impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Conflict { .. } => Self::conflict(error.to_string()),
            StoreError::NotFound { .. } => Self::detail(StatusCode::NOT_FOUND, error.to_string()),
            StoreError::Unreachable(_) => {
                Self::unavailable("The database does not answer, try again.", error)
            }
            StoreError::Damaged { .. } | StoreError::Address { .. } | StoreError::Refused(_) => {
                Self::internal(error)
            }
        }
    }
}

impl From<Busy> for ApiError {
    fn from(busy: Busy) -> Self {
        Self::unavailable(busy.to_string(), busy)
    }
}

impl From<Throttled> for ApiError {
    fn from(throttled: Throttled) -> Self {
        Self::too_many(throttled.to_string())
    }
}
