//! Errors of requests.

use std::error::Error;
use std::io;

use rustls::CertificateError;

/// A request that failed, or whose answer was an error.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The controller refused or failed; `body` is its answer, unchanged.
    #[error("the controller answered {status}: {body}")]
    Status { status: u16, body: String },
    /// A write was answered with a redirect, which is not followed.
    #[error("the controller redirects to {location}; use that address")]
    Redirected { location: String },
    /// No whole answer came. A retry may help.
    #[error("{request}: {}", plainly(source))]
    Transport { request: String, source: Box<ureq::Error> },
    /// The same for a session over a WebSocket: the connection failed, or the other side broke the protocol.
    #[error("{request}: {reason}")]
    Broken { request: String, reason: String },
    /// The server's certificate is not trusted.
    #[error("{host} answers, but its certificate is not trusted: {reason}")]
    Untrusted { host: String, reason: String },
    /// The address of the controller is not a URL of a scheme and host that can be used.
    #[error("the address `{text}` is no http or https URL with a host")]
    Address { text: String },
    /// The path, the token or the user agent cannot be written into a request.
    #[error("the request cannot be written: {source}")]
    Request { source: ureq::http::Error },
    /// The body cannot be written as JSON.
    #[error("the request's body cannot be written: {source}")]
    Encode { source: serde_json::Error },
    /// The answer is not JSON of the expected type.
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

    /// Returns true if the same request may succeed later without any change.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Transport { .. } | Self::Broken { .. } | Self::Status { status: 502..=504, .. })
    }
}

/// Reason why a TLS connection was not trusted; `None` for other failures.
pub(super) fn distrust(error: &(dyn Error + 'static)) -> Option<String> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(rustls::Error::InvalidCertificate(wrong)) = error.downcast_ref() {
            return Some(in_words(wrong));
        }
        // An I/O error leaves the one that it wraps out of its sources.
        cause = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    None
}

fn in_words(wrong: &CertificateError) -> String {
    match wrong {
        CertificateError::UnknownIssuer => "this machine knows nobody who signed it".to_owned(),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "it has expired".to_owned(),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "it is not valid yet; is this machine's clock right?".to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "it is for another name".to_owned()
        }
        other => other.to_string(),
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
