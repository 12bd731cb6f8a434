//! Webhooks: a POST whose answer is a status and nothing else.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use domain::outbound::OutboundPolicy;
use http::{HeaderValue, Method, Request, header};
use http_body_util::Empty;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

use crate::{Connector, https};

/// Longest wait for an answer.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// A failed notification. Contains nothing of the URL, which may carry a secret, and nothing of the response.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    #[error("its URL is not valid")]
    Url,
    #[error("it answered {0}")]
    Status(u16),
    #[error("it does not answer in time")]
    TimedOut,
    #[error("{0}")]
    Failed(String),
}

/// Sends webhooks. A clone shares its connections.
#[derive(Clone)]
pub struct Notifier {
    client: Client<HttpsConnector<Connector>, Empty<Bytes>>,
}

impl Notifier {
    pub fn new(policy: OutboundPolicy) -> Self {
        let connector = https(Connector::new(policy));
        Self { client: Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector) }
    }

    /// Posts nothing to `url`. Redirects are not followed.
    ///
    /// # Errors
    /// Any status but a success is one.
    pub async fn post(&self, url: &str, authorization: Option<&str>) -> Result<(), NotifyError> {
        let mut request =
            Request::builder().method(Method::POST).uri(url).header(header::CONTENT_LENGTH, "0");
        if let Some(authorization) = authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let mut request = request.body(Empty::new()).map_err(|_| NotifyError::Url)?;
        let authority = request.uri().authority().ok_or(NotifyError::Url)?.as_str();
        // A login in the URL is sent as one (RFC 7617), unless there is a signature.
        if let (None, Some((login, _))) = (authorization, authority.rsplit_once('@')) {
            let basic = format!("Basic {}", STANDARD.encode(login));
            let basic = HeaderValue::from_str(&basic).map_err(|_| NotifyError::Url)?;
            request.headers_mut().insert(header::AUTHORIZATION, basic);
        }
        let answer = tokio::time::timeout(ANSWER_MAX, self.client.request(request)).await;
        let answer = answer.map_err(|_| NotifyError::TimedOut)?;
        match answer.map_err(|error| NotifyError::Failed(innermost(&error)))?.status() {
            status if status.is_success() => Ok(()),
            status => Err(NotifyError::Status(status.as_u16())),
        }
    }
}

/// The first cause: the client's own text only says that there was one.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(cause) = error.source() {
        error = cause;
    }
    error.to_string()
}
