//! Errors of the API: each shape of docs/spec/api.md 1.6 has a constructor, and statuses are decided here only.
//!
//! A failure of ours (500, 503) is logged once, when it becomes an answer, with its cause; the caller
//! learns no more than the text given here.

use axum::Json;
use axum::http::header::RETRY_AFTER;
use axum::http::{Method, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use serde_json::{Map, Value, json};
use store::{DatabaseError, StoreError};

use crate::logins::ThrottleError;
use crate::turns::TurnError;

type Cause = Box<dyn std::error::Error + Send + Sync>;

const SERVER_ERROR: &str = "Server Error";
const UNKNOWN_URL: &str = "<h1>Not Found</h1><p>The requested resource was not found on this server.</p>";

/// An error response.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    body: ErrorBody,
    cause: Option<Cause>,
    /// Seconds after which it may be tried again.
    retry_after: Option<u32>,
}

#[derive(Debug)]
enum ErrorBody {
    Json(Value),
    Html(&'static str),
    Text(String),
}

impl ApiError {
    fn json(status: StatusCode, body: Value) -> Self {
        Self { status, body: ErrorBody::Json(body), cause: None, retry_after: None }
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
        Self { body: ErrorBody::Html(UNKNOWN_URL), ..Self::json(StatusCode::NOT_FOUND, Value::Null) }
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
        Self { body: ErrorBody::Text(text.into()), ..Self::json(status, Value::Null) }
    }

    /// Adds when to try again.
    pub(crate) fn after(self, seconds: u32) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    /// Adds what to say in our log.
    pub(crate) fn because(self, cause: impl Into<Cause>) -> Self {
        Self { cause: Some(cause.into()), ..self }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let Self { status, body, cause, retry_after } = self;
        if let Some(cause) = cause.as_deref() {
            tracing::error!(
                status = status.as_u16(),
                error = cause as &dyn std::error::Error,
                "request failed"
            );
        }
        let mut response = match body {
            ErrorBody::Json(body) => (status, Json(body)).into_response(),
            ErrorBody::Html(page) => (status, Html(page)).into_response(),
            ErrorBody::Text(text) => (status, text).into_response(),
        };
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        response
    }
}

/// Handlers first map the misses and conflicts that they expect; the rest is an error of the database.
impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Conflict { .. } | StoreError::Locked { .. } => Self::conflict(error.to_string()),
            StoreError::NotFound { .. } => Self::detail(StatusCode::NOT_FOUND, error.to_string()),
            StoreError::Unreachable { failure, .. } => {
                let (status, detail) = in_words(*failure);
                Self::detail(status, detail).because(error)
            }
            StoreError::Unknown(_) => Self::unavailable(OUTCOME_UNKNOWN, error),
            StoreError::Damaged { .. } | StoreError::Address { .. } | StoreError::Refused(_) => {
                Self::internal(error)
            }
        }
    }
}

const OUTCOME_UNKNOWN: &str = "The database broke off while it recorded the change: it is recorded whole or not at \
    all, but which is not known. Look, then try again if need be.";

/// The answer to callers when the database fails. Nothing was recorded.
fn in_words(error: DatabaseError) -> (StatusCode, &'static str) {
    let unavailable = StatusCode::SERVICE_UNAVAILABLE;
    match error {
        DatabaseError::Unresponsive => (unavailable, "The database does not answer, try again."),
        DatabaseError::Full => (
            StatusCode::INSUFFICIENT_STORAGE,
            "The disk of the platform's database is full, nothing was changed. Tell the operator to free space, \
             then try again.",
        ),
        DatabaseError::ReadOnly => {
            (unavailable, "The platform's database is read-only, nothing was changed. Tell the operator.")
        }
        DatabaseError::Locked => (
            unavailable,
            "Another process holds the lock on the platform's database, nothing was changed. Try again.",
        ),
        DatabaseError::ConnectionsExhausted => {
            (unavailable, "Too many requests wait for the database, try again.")
        }
        DatabaseError::Moved => (
            unavailable,
            "The file of the platform's database was removed or replaced, nothing was changed. Tell the operator \
             to put it back, or to restart the platform.",
        ),
    }
}

impl From<TurnError> for ApiError {
    fn from(error: TurnError) -> Self {
        let status = match error {
            TurnError::OthersFirst => StatusCode::TOO_MANY_REQUESTS,
            TurnError::Full => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::detail(status, error.to_string()).after(1)
    }
}

impl From<ThrottleError> for ApiError {
    fn from(throttled: ThrottleError) -> Self {
        Self::too_many(throttled.to_string()).after(throttled.seconds())
    }
}
