//! HTTP for registries: connections, bounds on time, redirects.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, Request, StatusCode, Uri, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use outbound::{HttpsConnector, OutboundPolicy};

use super::OciError;
use super::connector::{RetryConnector, refusal};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A registry may answer an upload only once its storage has all of it.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10 * 60);
/// A registry answers questions soon.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(45);
/// Between two parts of a body.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
const REDIRECTS_MAX: usize = 5;
/// Bytes read of an error's text.
const MESSAGE_BYTES_MAX: usize = 64 << 10;
const USER_AGENT: &str = concat!("deis-workflow/", env!("CARGO_PKG_VERSION"));

pub type Error = Box<dyn std::error::Error + Send + Sync>;
pub type Body = UnsyncBoxBody<Bytes, Error>;

/// Connections to registries; clones share them.
#[derive(Clone)]
pub struct Transport {
    client: Client<HttpsConnector<RetryConnector>, Body>,
    /// Guard of connections where users name the registries.
    guard: Option<outbound::Connector>,
}

impl Transport {
    /// To registries of the operator's. Trusts what the system trusts (`SSL_CERT_FILE` names another bundle).
    pub fn new() -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        Self::with(RetryConnector::Own(tcp), None)
    }

    /// To registries that users name, and to wherever those lead. Nothing that they say is passed on in an error.
    pub fn guarded(policy: OutboundPolicy) -> Self {
        let guard = outbound::Connector::new(policy);
        Self::with(RetryConnector::Guarded(guard.clone()), Some(guard))
    }

    fn with(connector: RetryConnector, guard: Option<outbound::Connector>) -> Self {
        let connector = outbound::https(connector);
        let client = Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector);
        Self { client, guard }
    }

    /// Sends one request.
    pub async fn send(
        &self,
        method: &Method,
        url: &str,
        headers: &[(header::HeaderName, &str)],
        authorization: Option<&str>,
        body: Body,
    ) -> Result<RegistryResponse, OciError> {
        let mut request = Request::builder().method(method).uri(url).header(header::USER_AGENT, USER_AGENT);
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        if let Some(authorization) = authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let host = host_of(url);
        let request = request.body(body).map_err(|error| OciError::Malformed {
            what: format!("request to registry {host}"),
            reason: error.to_string(),
        })?;
        if let Some(guard) = &self.guard {
            guard.check(request.uri())?;
        }
        let bound =
            if matches!(*method, Method::PATCH | Method::PUT) { ANSWER_TIMEOUT } else { QUESTION_TIMEOUT };
        let unreachable = |source: Error| OciError::Unreachable { host: host.clone(), source };
        let answer = tokio::time::timeout(bound, self.client.request(request)).await;
        let answer = answer.map_err(|_| unreachable("it took too long".into()))?;
        let (head, body) = answer
            .map_err(|error| match refusal(&error) {
                Some(refused) => OciError::Closed(refused.clone()),
                None => unreachable(said(&error).into()),
            })?
            .into_parts();
        let is_foreign = self.guard.is_some();
        Ok(RegistryResponse {
            status: head.status,
            headers: head.headers,
            body,
            host,
            url: url.to_owned(),
            is_foreign,
        })
    }

    /// Gets what a registry has redirected to. Other hosts do not learn the token.
    pub async fn follow(
        &self,
        mut answer: RegistryResponse,
        authorization: Option<&str>,
    ) -> Result<RegistryResponse, OciError> {
        for _ in 0..REDIRECTS_MAX {
            if !answer.status.is_redirection() {
                return Ok(answer);
            }
            let target = answer.location()?;
            let is_same = host_of(&target) == answer.host;
            let is_downgrade = answer.url.starts_with("https:") && !target.starts_with("https:");
            if is_downgrade {
                break;
            }
            answer =
                self.send(&Method::GET, &target, &[], authorization.filter(|_| is_same), empty()).await?;
        }
        let reason = "it redirects too often, or from HTTPS to HTTP".to_owned();
        Err(OciError::Malformed { what: format!("registry {}", answer.host), reason })
    }
}

impl std::fmt::Debug for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Transport")
    }
}

impl Default for Transport {
    fn default() -> Self {
        Self::new()
    }
}

/// Causes of an error of the client, whose own text only says that there was one.
fn said(error: &dyn std::error::Error) -> String {
    let mut texts = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(error) = cause {
        texts.push(error.to_string());
        cause = error.source();
    }
    texts.dedup();
    texts.join(": ")
}

pub fn host_of(url: &str) -> String {
    url.parse::<Uri>().ok().and_then(|uri| uri.authority().map(ToString::to_string)).unwrap_or_default()
}

pub fn empty() -> Body {
    Empty::new().map_err(|never: std::convert::Infallible| match never {}).boxed_unsync()
}

pub fn full(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never: std::convert::Infallible| match never {}).boxed_unsync()
}

/// An answer whose body is still to come.
pub struct RegistryResponse {
    status: StatusCode,
    headers: HeaderMap,
    body: Incoming,
    host: String,
    url: String,
    is_foreign: bool,
}

impl RegistryResponse {
    pub fn status(&self) -> StatusCode {
        self.status
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Absolute URL of the `Location` header.
    pub fn location(&self) -> Result<String, OciError> {
        let location = self.header(header::LOCATION.as_str()).ok_or_else(|| OciError::Malformed {
            what: format!("registry {}", self.host),
            reason: "it sends us on without saying where".to_owned(),
        })?;
        if location.starts_with("http://") || location.starts_with("https://") {
            return Ok(location.to_owned());
        }
        let scheme = self.url.split("//").next().unwrap_or("https:");
        let slash = if location.starts_with('/') { "" } else { "/" };
        Ok(format!("{scheme}//{}{slash}{location}", self.host))
    }

    /// Sorts answers that are no success.
    pub async fn succeeded(self, what: &str) -> Result<Self, OciError> {
        let what = || what.to_owned();
        match self.status {
            status if status.is_success() || status.is_redirection() => Ok(self),
            StatusCode::NOT_FOUND => Err(OciError::NotFound { what: what() }),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(OciError::Denied { what: what() }),
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                let host = self.host.clone();
                let source = format!("{}{}", status.as_u16(), self.message().await).into();
                Err(OciError::Unreachable { host, source })
            }
            status => {
                let message = self.message().await;
                Err(OciError::Refused { what: what(), status: status.as_u16(), message })
            }
        }
    }

    /// All of a body that may have so many bytes.
    pub async fn bytes(self, bytes_max: usize, what: &str) -> Result<Bytes, OciError> {
        let host = self.host.clone();
        let mut body = self.body;
        let mut bytes = BytesMut::new();
        while let Some(part) = next_part(&mut body, &host).await? {
            if bytes.len() + part.len() > bytes_max {
                let reason = format!("it has more than {bytes_max} bytes");
                return Err(OciError::Malformed { what: what.to_owned(), reason });
            }
            bytes.extend_from_slice(&part);
        }
        Ok(bytes.freeze())
    }

    /// The body, and the host that it comes from.
    pub fn into_body(self) -> (Incoming, String) {
        (self.body, self.host)
    }

    /// Message of the operator's own registry, behind a colon. Messages of others are not repeated: a user could
    /// name a registry that redirects us to something that only we reach.
    async fn message(self) -> String {
        if self.is_foreign {
            return String::new();
        }
        let message = self.own_message().await;
        if message.is_empty() { message } else { format!(": {message}") }
    }

    async fn own_message(self) -> String {
        #[derive(serde::Deserialize)]
        struct Errors {
            errors: Vec<ErrorEntry>,
        }
        #[derive(serde::Deserialize)]
        struct ErrorEntry {
            #[serde(default)]
            code: String,
            #[serde(default)]
            message: String,
        }
        let text = self.bytes(MESSAGE_BYTES_MAX, "answer").await.unwrap_or_default();
        match serde_json::from_slice::<Errors>(&text).ok().and_then(|it| it.errors.into_iter().next()) {
            Some(ErrorEntry { code, message }) if message.is_empty() => code,
            Some(ErrorEntry { message, .. }) => message,
            None => String::from_utf8_lossy(&text).lines().next().unwrap_or_default().trim().to_owned(),
        }
    }
}

/// The next data of a body, within the bound on silence.
pub async fn next_part(body: &mut Incoming, host: &str) -> Result<Option<Bytes>, OciError> {
    let unreachable = |source: Error| OciError::Unreachable { host: host.to_owned(), source };
    loop {
        let frame = tokio::time::timeout(IDLE_TIMEOUT, body.frame()).await;
        match frame.map_err(|_| unreachable("it has gone quiet".into()))? {
            None => return Ok(None),
            Some(Err(error)) => return Err(unreachable(said(&error).into())),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}
