//! Faults of an app's response: one error type for the fast and the slow path, shown in the 502 or 504 and in the
//! app's log.

use http::StatusCode;

/// A response of an app that cannot be passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ResponseError {
    #[error("the app closed the connection without an answer")]
    Closed,
    #[error("the app ended the request without an answer (HTTP/2)")]
    ClosedHttp2,
    #[error("the app did not answer in time")]
    Late,
    #[error("the app answered with something that is not HTTP/1.1: its status line is malformed")]
    StatusLine,
    #[error("the app answered with a header that is malformed or folded over several lines")]
    Header,
    #[error("the app answered with more than 100 headers, or with a head longer than 256 KiB")]
    HeadTooLarge,
    #[error("the app answered with a Content-Length that is no number, or with several that differ")]
    ContentLength,
    #[error("the app answered in a transfer coding that nobody asked for")]
    TransferCoding,
    #[error("the app switched to a protocol that it was not asked for")]
    Switched,
    /// Whatever else hyper may find.
    #[error("the app answered with a head that is malformed")]
    Malformed,
}

impl ResponseError {
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::Late => StatusCode::GATEWAY_TIMEOUT,
            _ => StatusCode::BAD_GATEWAY,
        }
    }

    /// Classifies hyper's error of a response over HTTP/1. Kinds of malformed heads differ only in their text.
    pub(crate) fn of_http1(error: &hyper::Error) -> Self {
        if !error.is_parse() {
            return Self::Closed;
        }
        match error.to_string().as_str() {
            _ if error.is_parse_too_large() => Self::HeadTooLarge,
            _ if error.is_parse_status() => Self::StatusLine,
            "invalid HTTP version parsed" => Self::StatusLine,
            "invalid HTTP header parsed" => Self::Header,
            "invalid content-length parsed" => Self::ContentLength,
            "unexpected transfer-encoding parsed" => Self::TransferCoding,
            _ => Self::Malformed,
        }
    }
}

impl From<httparse::Error> for ResponseError {
    fn from(error: httparse::Error) -> Self {
        match error {
            httparse::Error::Status | httparse::Error::Version => Self::StatusLine,
            httparse::Error::TooManyHeaders => Self::HeadTooLarge,
            httparse::Error::HeaderName
            | httparse::Error::HeaderValue
            | httparse::Error::NewLine
            | httparse::Error::Token => Self::Header,
        }
    }
}
