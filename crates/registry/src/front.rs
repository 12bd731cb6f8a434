//! The registry's one port: `/token` is answered here, `/healthz` too, all else by Distribution.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, HeaderValue, UPGRADE, WWW_AUTHENTICATE};
use http::uri::PathAndQuery;
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Empty, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use listener::http::{HttpLimits, RequestBody};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::RegistrySettings;
use crate::collector::WriteGate;
use crate::idle::IdleBound;
use crate::token::{self, FORM_BYTES_MAX, TokenError, TokenService};

/// Bounds of the front.
#[derive(Debug, Clone)]
pub struct FrontSettings {
    /// Connections at a time; one source, such as a node, has half of them.
    pub connections_max: usize,
    /// Between two parts of a body.
    pub idle: Duration,
    /// Time for requests under way at shutdown.
    pub drain: Duration,
}

impl Default for FrontSettings {
    fn default() -> Self {
        Self { connections_max: 1024, idle: Duration::from_secs(60), drain: Duration::from_secs(25) }
    }
}

/// From the connection to the end of a request's headers.
const HEADERS_TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Distribution answers an upload once the storage has all of it.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15 * 60);

type Error = Box<dyn std::error::Error + Send + Sync>;
type Body = BoxBody<Bytes, Error>;

struct Front {
    tokens: TokenService,
    distribution: SocketAddr,
    client: Client<HttpConnector, Body>,
    idle: Duration,
    gate: Arc<WriteGate>,
}

/// Serves until `stop`, then until the requests under way have ended or the drain time is over.
pub async fn run(
    settings: &RegistrySettings,
    listener: TcpListener,
    gate: Arc<WriteGate>,
    stop: CancellationToken,
) {
    let front = Arc::new(Front::new(settings, gate));
    let handler = move |request| {
        let front = front.clone();
        async move { front.answer(request).await }
    };
    let serving = listener::http::serve(listener, limits(&settings.front), handler, stop.cancelled());
    let drained = async {
        stop.cancelled().await;
        tokio::time::sleep(settings.front.drain).await;
    };
    tokio::select! {
        () = serving => {}
        () = drained => {}
    }
}

/// Layers go through piece by piece, however large.
fn limits(settings: &FrontSettings) -> HttpLimits {
    HttpLimits {
        connections_max: settings.connections_max,
        connections_by_source_max: settings.connections_max.div_ceil(2),
        requests_by_source_max: settings.connections_max.div_ceil(2),
        head_timeout: HEADERS_TIMEOUT,
        bodies: None,
        ..HttpLimits::default()
    }
}

impl Front {
    fn new(settings: &RegistrySettings, gate: Arc<WriteGate>) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        Self {
            tokens: TokenService::new(settings.key.clone()),
            distribution: SocketAddr::from(([127, 0, 0, 1], settings.distribution_port)),
            client: Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector),
            idle: settings.front.idle,
            gate,
        }
    }

    async fn answer(&self, request: Request<RequestBody>) -> Response<Body> {
        match (request.method(), request.uri().path()) {
            (&Method::GET | &Method::POST, token::PATH) => self.token(request).await,
            (_, token::PATH) => plain(StatusCode::METHOD_NOT_ALLOWED, "use GET or POST\n"),
            (&Method::GET, "/healthz") => self.health().await,
            (_, path) if path == "/v2" || path.starts_with("/v2/") => self.pass_on_in_turn(request).await,
            _ => plain(StatusCode::NOT_FOUND, "a registry is at /v2/\n"),
        }
    }

    async fn token(&self, request: Request<RequestBody>) -> Response<Body> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |passed| passed.as_secs());
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        let asked = self.read_token_request(request).await;
        match asked.and_then(|asked| self.tokens.answer(&asked, now)) {
            Ok(answer) => json(StatusCode::OK, &answer),
            Err(TokenError::Unauthorized) => {
                let body = serde_json::json!({ "details": "the credential is wrong or has ended" });
                let mut answer = json(StatusCode::UNAUTHORIZED, &body);
                let realm = HeaderValue::from_static("Basic realm=\"deis-registry\"");
                answer.headers_mut().insert(WWW_AUTHENTICATE, realm);
                answer
            }
            Err(TokenError::Malformed) => {
                json(StatusCode::BAD_REQUEST, &serde_json::json!({ "details": "the request is malformed" }))
            }
        }
    }

    async fn read_token_request(
        &self,
        request: Request<RequestBody>,
    ) -> Result<token::TokenRequest, TokenError> {
        let (head, body) = request.into_parts();
        let authorization = match head.headers.get(AUTHORIZATION) {
            Some(value) => Some(value.to_str().map_err(|_| TokenError::Unauthorized)?.to_owned()),
            None => None,
        };
        if head.method == Method::GET {
            return token::TokenRequest::of_query(
                head.uri.query().unwrap_or_default(),
                authorization.as_deref(),
            );
        }
        let body = Limited::new(IdleBound::new(body, self.idle), FORM_BYTES_MAX).collect().await;
        let body = body.map_err(|_| TokenError::Malformed)?.to_bytes();
        let form = std::str::from_utf8(&body).map_err(|_| TokenError::Malformed)?;
        token::TokenRequest::of_form(form, authorization.as_deref())
    }

    /// Healthy while Distribution is.
    async fn health(&self) -> Response<Body> {
        let uri = self.uri(&PathAndQuery::from_static("/"));
        let request = Request::get(uri).body(empty()).expect("all its parts are valid");
        match tokio::time::timeout(CONNECT_TIMEOUT, self.client.request(request)).await {
            Ok(Ok(answer)) if answer.status().is_success() => plain(StatusCode::OK, "ok\n"),
            _ => plain(StatusCode::SERVICE_UNAVAILABLE, "distribution does not answer\n"),
        }
    }

    /// Writes wait while unused blobs are collected.
    async fn pass_on_in_turn(&self, request: Request<RequestBody>) -> Response<Body> {
        if matches!(*request.method(), Method::GET | Method::HEAD) {
            return self.pass_on(request).await;
        }
        let Some(_write) = self.gate.write().await else {
            let busy = "the registry removes unused images; try again\n";
            return plain(StatusCode::SERVICE_UNAVAILABLE, busy);
        };
        let answer = self.pass_on(request).await;
        self.gate.note();
        answer
    }

    async fn pass_on(&self, request: Request<RequestBody>) -> Response<Body> {
        let (mut head, body) = request.into_parts();
        let path = head.uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
        head.uri = self.uri(&path);
        // Distribution makes the realm of this and of the name by which the client reached us.
        head.headers.insert("x-forwarded-proto", HeaderValue::from_static("http"));
        head.headers.remove(CONNECTION);
        head.headers.remove(UPGRADE);
        let request = Request::from_parts(head, IdleBound::new(body, self.idle).boxed());
        match tokio::time::timeout(ANSWER_TIMEOUT, self.client.request(request)).await {
            Ok(Ok(answer)) => answer.map(|body| IdleBound::new(body, self.idle).boxed()),
            Ok(Err(error)) => {
                tracing::warn!(%error, "distribution does not answer");
                plain(StatusCode::BAD_GATEWAY, "the registry is starting or has no storage; try again\n")
            }
            Err(_) => plain(StatusCode::GATEWAY_TIMEOUT, "the registry's storage did not answer in time\n"),
        }
    }

    fn uri(&self, path: &PathAndQuery) -> Uri {
        Uri::builder()
            .scheme("http")
            .authority(self.distribution.to_string())
            .path_and_query(path.clone())
            .build()
            .expect("an address and a path that was parsed make a URI")
    }
}

fn empty() -> Body {
    Empty::new().map_err(|never: Infallible| match never {}).boxed()
}

fn full(content: impl Into<Bytes>) -> Body {
    Full::new(content.into()).map_err(|never: Infallible| match never {}).boxed()
}

fn plain(status: StatusCode, text: &'static str) -> Response<Body> {
    answer(status, "text/plain; charset=utf-8", full(text))
}

fn json(status: StatusCode, value: &serde_json::Value) -> Response<Body> {
    answer(status, "application/json", full(value.to_string()))
}

fn answer(status: StatusCode, content_type: &'static str, body: Body) -> Response<Body> {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}
