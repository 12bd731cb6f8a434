//! HTTP to the certificate authority: whom to trust, bounds on time and size, and how long it wants to be left
//! alone.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient, Problem};
use jiff::SignedDuration;
use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs::default_provider;

use super::order_error::describe;
use crate::trusted;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Chains and problems are far smaller.
const ANSWER_BYTES_MAX: usize = 1 << 20;
const AGENT: &str = concat!("deis-workflow/", env!("CARGO_PKG_VERSION"));

/// The authority wants to be left alone for a while.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub(super) struct RateLimitError {
    pub(super) reason: String,
    pub(super) retry_after: SignedDuration,
}

pub(super) struct AcmeTransport {
    client: Client<HttpsConnector<HttpConnector>, BodyWrapper<Bytes>>,
}

impl AcmeTransport {
    /// Trusts these authorities of TLS, PEM, else what the system trusts.
    pub(super) fn new(ca_bundle: Option<&str>) -> Result<Self, Error> {
        let failed = |error: Box<dyn std::error::Error + Send + Sync>| Error::Other(error);
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| failed(error.into()))?;
        let tls = match ca_bundle {
            Some(bundle) => builder.with_root_certificates(
                trusted::authorities(bundle.as_bytes()).map_err(|error| failed(error.into()))?,
            ),
            None => builder.with_native_roots().map_err(|error| failed(error.into()))?,
        };
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls.with_no_client_auth())
            .https_only()
            .enable_http1()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector);
        Ok(Self { client })
    }
}

impl HttpClient for AcmeTransport {
    fn request(
        &self,
        mut request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        request.headers_mut().append(USER_AGENT, HeaderValue::from_static(AGENT));
        let sending = self.client.request(request);
        Box::pin(async move {
            let answer = tokio::time::timeout(ANSWER_TIMEOUT, async {
                let (head, body) = sending.await.map_err(|error| Error::Other(error.into()))?.into_parts();
                let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(Error::Other)?;
                Ok::<_, Error>((head, body.to_bytes()))
            });
            let (parts, body) = answer.await.map_err(|_| Error::Other("it does not answer".into()))??;
            match rate_limit(parts.status, &parts.headers, &body) {
                Some(limit) => Err(Error::Other(Box::new(limit))),
                None => Ok(BytesResponse { parts, body: Box::new(body) }),
            }
        })
    }
}

/// Recognizes a response that says to retry later, and the time of the retry.
fn rate_limit(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Option<RateLimitError> {
    if !matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        return None;
    }
    let seconds: i64 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    let reason = serde_json::from_slice::<Problem>(body).map(|problem| describe(&problem));
    let reason = reason.unwrap_or_else(|_| format!("it answers {status}"));
    Some(RateLimitError { reason, retry_after: SignedDuration::from_secs(seconds.max(0)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_says_how_long_it_wants_to_be_left_alone() {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static("3600"))]);
        let body = br#"{"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many"}"#;

        let limited = rate_limit(StatusCode::TOO_MANY_REQUESTS, &headers, body).expect("it says so");
        let down = rate_limit(StatusCode::SERVICE_UNAVAILABLE, &headers, b"<html>").expect("it says so");

        assert_eq!(
            (limited.reason.as_str(), limited.retry_after.as_secs()),
            ("too many (rateLimited)", 3_600)
        );
        assert_eq!(down.reason, "it answers 503 Service Unavailable");
        assert!(rate_limit(StatusCode::OK, &headers, body).is_none());
        assert!(rate_limit(StatusCode::TOO_MANY_REQUESTS, &HeaderMap::new(), body).is_none());
    }

    #[test]
    fn a_bundle_that_is_none_is_refused() {
        assert!(
            AcmeTransport::new(Some("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n")).is_err()
        );
    }
}
