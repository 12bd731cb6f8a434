//! Bodies of requests (docs/spec/api.md 1.4): always an object, whose fields are asked for one by one.
//!
//! Reading is apart from parsing, so that a handler can check rows and permissions before the body,
//! and all complaints about fields come in one answer.

use std::time::Duration;

use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use bytes::Bytes;
use domain::bool_text::bool_or_null;
use listener::http::RequestBodyError;
use serde_json::{Map, Value};

use super::error::ApiError;
use super::forms;
use crate::Controller;

/// Largest body that is read.
pub(crate) const BODY_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Longest wait for a whole body.
const BODY_SECONDS_MAX: u64 = 60;

const REQUIRED: &str = "This field is required.";
const NULL: &str = "This field may not be null.";
const BLANK: &str = "This field may not be blank.";
const NO_STRING: &str = "Not a valid string.";
const NUL_CHARACTER: &str = "Null characters are not allowed.";

/// A body as it came.
#[derive(Debug)]
pub(crate) struct RawBody {
    content_type: Option<String>,
    bytes: Bytes,
}

impl FromRequest<Controller> for RawBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, controller: &Controller) -> Result<Self, ApiError> {
        let content_type = request.headers().get(CONTENT_TYPE);
        let content_type = content_type.and_then(|value| value.to_str().ok()).map(str::to_owned);
        let reading = Bytes::from_request(request, controller);
        let Ok(read) = tokio::time::timeout(Duration::from_secs(BODY_SECONDS_MAX), reading).await else {
            return Err(ApiError::detail(StatusCode::REQUEST_TIMEOUT, "The request took too long."));
        };
        let bytes = read.map_err(|refused| match refused.status() {
            _ if let Some(error) = RequestBodyError::within(&refused) => {
                let refused = ApiError::detail(error.status(), error.to_string());
                if error.is_out_of_room() { refused.after(1) } else { refused }
            }
            StatusCode::PAYLOAD_TOO_LARGE => {
                let detail = format!("Request body is larger than {BODY_BYTES_MAX} bytes.");
                ApiError::detail(StatusCode::PAYLOAD_TOO_LARGE, detail)
            }
            _ => ApiError::bad_request("Request body could not be read."),
        })?;
        Ok(Self { content_type, bytes })
    }
}

impl RawBody {
    /// Parses the body. An empty one means `{}`, whatever its type.
    pub(crate) fn fields(&self) -> Result<Fields, ApiError> {
        let values = if self.bytes.is_empty() { Map::new() } else { self.values()? };
        Ok(Fields { values, complaints: Map::new() })
    }

    fn values(&self) -> Result<Map<String, Value>, ApiError> {
        let content_type = self.content_type.as_deref().unwrap_or_default();
        let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match essence.as_str() {
            "application/json" => json_object(&self.bytes),
            "application/x-www-form-urlencoded" => forms::urlencoded(&self.bytes),
            "multipart/form-data" => forms::multipart(content_type, &self.bytes),
            _ => {
                let detail = format!("Unsupported media type \"{content_type}\" in request.");
                Err(ApiError::detail(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail))
            }
        }
    }
}

fn json_object(bytes: &[u8]) -> Result<Map<String, Value>, ApiError> {
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(values)) => Ok(values),
        Ok(_) => Err(ApiError::bad_request("JSON parse error - the body is not an object")),
        Err(error) => Err(ApiError::bad_request(format!("JSON parse error - {error}"))),
    }
}

/// The fields of a body, and their faults so far.
///
/// Reading an invalid field records the fault and returns an empty value; [`Fields::finish`] must be called before
/// any value is used.
#[derive(Debug)]
pub(crate) struct Fields {
    values: Map<String, Value>,
    complaints: Map<String, Value>,
}

impl Fields {
    /// Returns true if the body has this field, whatever its value.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// All fields as they came, where users choose the names.
    pub(crate) fn object(&self) -> &Map<String, Value> {
        &self.values
    }

    /// The field as it came.
    pub(crate) fn value(&self, name: &str) -> Option<&Value> {
        self.values.get(name)
    }

    /// A boolean that may be missing, which is false. Forms have it as text.
    pub(crate) fn is_true(&mut self, name: &str) -> bool {
        let Some(value) = self.values.get(name) else { return false };
        match bool_or_null(value) {
            Ok(said) => said.unwrap_or(false),
            Err(complaint) => {
                self.complain(name, complaint);
                false
            }
        }
    }

    /// The field as it came, which must be there.
    pub(crate) fn given(&mut self, name: &str) -> Value {
        self.required(name);
        self.values.get(name).cloned().unwrap_or_default()
    }

    /// A text that must be there; outer blanks do not count.
    pub(crate) fn text(&mut self, name: &str, chars_max: usize) -> String {
        self.required(name);
        self.optional_text(name, chars_max).unwrap_or_default()
    }

    /// A text that must be there, kept as it is: passwords may have outer blanks.
    pub(crate) fn password(&mut self, name: &str, chars_max: usize) -> String {
        self.required(name);
        let Some(text) = self.string(name) else { return String::new() };
        self.checked(name, text, chars_max).unwrap_or_default()
    }

    /// A text that may be missing, but not blank.
    pub(crate) fn optional_text(&mut self, name: &str, chars_max: usize) -> Option<String> {
        let text = self.string(name)?.trim().to_owned();
        self.checked(name, text, chars_max)
    }

    /// A text that may be missing or blank, which are the same.
    pub(crate) fn text_or_blank(&mut self, name: &str, chars_max: usize) -> String {
        match self.string(name).map(|text| text.trim().to_owned()) {
            Some(text) if !text.is_empty() => self.checked(name, text, chars_max).unwrap_or_default(),
            _ => String::new(),
        }
    }

    /// Notes that a field is wrong.
    pub(crate) fn complain(&mut self, name: &str, message: impl Into<String>) {
        let messages = self.complaints.entry(name).or_insert_with(|| Value::Array(Vec::new()));
        if let Value::Array(messages) = messages {
            messages.push(Value::String(message.into()));
        }
    }

    /// Returns true if the field has no complaint so far.
    pub(crate) fn is_fine(&self, name: &str) -> bool {
        !self.complaints.contains_key(name)
    }

    /// The answer 400 if anything is wrong.
    pub(crate) fn finish(self) -> Result<(), ApiError> {
        if self.complaints.is_empty() { Ok(()) } else { Err(ApiError::fields(self.complaints)) }
    }

    fn required(&mut self, name: &str) {
        if !self.has(name) {
            self.complain(name, REQUIRED);
        }
    }

    /// Numbers count as texts, as they do in forms.
    fn string(&mut self, name: &str) -> Option<String> {
        let complaint = match self.values.get(name)? {
            Value::String(text) if text.contains('\0') => NUL_CHARACTER,
            Value::String(text) => return Some(text.clone()),
            Value::Number(number) => return Some(number.to_string()),
            Value::Null => NULL,
            Value::Bool(_) | Value::Array(_) | Value::Object(_) => NO_STRING,
        };
        self.complain(name, complaint);
        None
    }

    fn checked(&mut self, name: &str, text: String, chars_max: usize) -> Option<String> {
        if text.trim().is_empty() {
            self.complain(name, BLANK);
            return None;
        }
        if text.chars().count() > chars_max {
            self.complain(name, format!("Ensure this field has no more than {chars_max} characters."));
            return None;
        }
        Some(text)
    }
}
