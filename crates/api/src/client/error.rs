//! Why a request did not lead to an answer that can be used.

use std::error::Error;

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The controller refused or failed; `body` is its answer as it came.
    #[error("the controller answered {status}: {body}")]
    Status { status: u16, body: String },
    /// A write was answered with a redirect, which is not followed.
    #[error("the controller redirects to {location}; use that address")]
    Redirected { location: String },
    /// No answer came. Trying again later may help.
    #[error("{request}: {}", plainly(source))]
    Transport { request: String, source: Box<ureq::Error> },
    /// The same for a connection that is no request.
    #[error("{request}: {reason}")]
    Broken { request: String, reason: String },
    #[error("the address `{text}` is no http or https URL with a host")]
    Address { text: String },
    #[error("the request cannot be written: {source}")]
    Request { source: ureq::http::Error },
    #[error("the request's body cannot be written: {source}")]
    Encode { source: serde_json::Error },
    #[error("the controller's answer cannot be read: {source}")]
    Decode { source: serde_json::Error },
}

impl ClientError {
    /// The status of the answer, where there was one.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Status { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// The `detail` of an error answer, if it has that shape.
    pub fn detail(&self) -> Option<String> {
        match self {
            Self::Status { body, .. } => serde_json::from_str::<crate::Detail>(body).ok().map(|d| d.detail),
            _ => None,
        }
    }

    /// Whether the same request may succeed later without anybody changing it.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Transport { .. } | Self::Broken { .. } | Self::Status { status: 502..=504, .. })
    }
}

/// The words of the operating system instead of the library's wrapping.
fn plainly(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Io(error) => error
            .get_ref()
            .and_then(Error::source)
            .map_or_else(|| error.to_string(), |source| format!("{error}: {source}")),
        other => other.to_string(),
    }
}
