//! Phase 4: to a backend and back.
//!
//! While the route wants replicas and none is ready, the request waits, bounded in time and number. It
//! is tried again elsewhere when nothing of it was sent; GET and HEAD also when a reused connection
//! closed before the first byte of the answer, for then the backend had most likely closed it before.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use domain::routing::Backend;
use http::{HeaderValue, Method, StatusCode, Uri, Version, header};
use hyper::body::{Body as _, Incoming};
use hyper::upgrade::OnUpgrade;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::caller::Caller;
use super::{Refusal, guard, headers};
use crate::affinity;
use crate::body::{BodyError, ProxyBody};
use crate::metrics::{AppMetrics, Count};
use crate::pool::Sender;
use crate::site::Site;
use crate::table::InFlightGuard;
use crate::worker::Shared;

/// Pause before backends that refused a connection are tried again.
const REFUSED_PAUSE: Duration = Duration::from_millis(100);

/// Brings the request to a backend of `route` and its answer back.
pub(super) async fn forward(
    shared: &Rc<Shared>,
    site: Rc<Site>,
    host: &str,
    caller: &Caller,
    mut request: Request<Incoming>,
) -> Response<ProxyBody> {
    if request.method() == Method::CONNECT {
        return Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "CONNECT is not served here").into_response();
    }
    let visitor = headers::upgrade(request.headers()).map(|_| hyper::upgrade::on(&mut request));
    let outgoing = prepare(&site, site.metrics(&shared.metrics), caller, request);
    let timeout = site.rules.timeout;
    let is_sticky = site.rules.sticky && site.destination(outgoing.uri().path()).is_sticky;
    let wanted = is_sticky.then(|| affinity::wanted(outgoing.headers()));
    let exchanged = exchange(shared, site, host, outgoing).await;
    match exchanged.inspect(|exchange| exchange.guard.under_way().answered()) {
        Err(refusal) => refusal.into_response(),
        Ok(Exchange { response, guard, .. }) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
            switch_protocols(timeout, response, visitor, guard)
        }
        Ok(Exchange { response, guard, backend_key }) => {
            let (mut parts, body) = response.into_parts();
            headers::strip_hop_by_hop(&mut parts.headers);
            if let Some(wanted) = wanted {
                let mark = affinity::mark(&backend_key);
                if wanted.as_ref() != Some(&mark) {
                    let cookie = affinity::cookie(&mark, caller.is_https);
                    parts.headers.append(header::SET_COOKIE, cookie);
                }
            }
            // How the end of the body is told is for each connection to choose.
            parts.headers.remove(header::TRANSFER_ENCODING);
            parts.version = Version::HTTP_11;
            Response::from_parts(parts, ProxyBody::answer(body, timeout, guard))
        }
    }
}

/// The request as the app is to see it.
fn prepare(
    site: &Site,
    metrics: &Arc<AppMetrics>,
    caller: &Caller,
    request: Request<Incoming>,
) -> Request<ProxyBody> {
    let (mut parts, body) = request.into_parts();
    let upgrade = headers::upgrade(&parts.headers);
    headers::strip_hop_by_hop(&mut parts.headers);
    // The answer "100 Continue" is given by us as soon as the body is wanted.
    parts.headers.remove(header::EXPECT);
    headers::join_cookies(&mut parts.headers);
    headers::add_forwarded(&mut parts.headers, caller);
    if site.rules.request_start {
        headers::add_request_start(&mut parts.headers, SystemTime::now());
    } else {
        parts.headers.remove(headers::REQUEST_START);
    }
    if let Some(protocol) = upgrade {
        parts.headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        parts.headers.insert(header::UPGRADE, protocol);
    }
    if let Some(authority) = parts.uri.authority() {
        let host = HeaderValue::try_from(authority.as_str()).expect("an authority is a valid header value");
        parts.headers.insert(header::HOST, host);
    }
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    parts.uri = Uri::try_from(path).expect("it was parsed from a request line");
    parts.version = Version::HTTP_11;
    let body = if body.is_end_stream() {
        ProxyBody::empty()
    } else {
        ProxyBody::request(body, site.rules.body_bytes_max, site.rules.timeout, Arc::clone(metrics))
    };
    Request::from_parts(parts, body)
}

struct Exchange {
    response: Response<Incoming>,
    guard: InFlightGuard,
    backend_key: String,
}

/// How one attempt failed.
enum Attempt {
    /// Nothing reached the app: the request may go elsewhere.
    Unsent(Box<Request<ProxyBody>>),
    /// The request is gone; this is what the visitor hears.
    Lost(Refusal),
}

async fn exchange(
    shared: &Rc<Shared>,
    mut site: Rc<Site>,
    host: &str,
    mut request: Request<ProxyBody>,
) -> Result<Exchange, Refusal> {
    let deadline = Instant::now() + shared.settings.hold_timeout;
    let mut tried = Vec::new();
    loop {
        let metrics = site.metrics(&shared.metrics);
        let to = site.destination(request.uri().path());
        let mark = to.is_sticky.then(|| affinity::wanted(request.headers())).flatten();
        // Subscribed before looking, so that no change of the table is missed.
        let changed = shared.table_changed.notified();
        if let Some((backend, guard)) = shared.in_flight.choose(to.backends, &tried, mark.as_deref(), metrics)
        {
            match attempt(shared, &site, &backend, request).await {
                Ok(response) => return Ok(Exchange { response, guard, backend_key: backend.key }),
                Err(Attempt::Lost(refusal)) => {
                    note_loss(&guard, &refusal);
                    return Err(refusal);
                }
                Err(Attempt::Unsent(back)) => {
                    metrics.retries.add(1);
                    request = *back;
                }
            }
            tried.push(backend.key);
            if Instant::now() < deadline {
                continue;
            }
        }
        if to.wanted == 0 && to.backends.is_empty() {
            return Err(unavailable("no process serves this app; scale one up with `deis scale`"));
        }
        let until = if tried.is_empty() { deadline } else { deadline.min(Instant::now() + REFUSED_PAUSE) };
        hold(shared, changed, until, deadline)
            .await
            .inspect_err(|_| metrics.releases.lost_without_replica())?;
        tried.clear();
        site = shared
            .table
            .borrow()
            .site(host)
            .ok_or_else(|| Refusal::new(StatusCode::NOT_FOUND, format!("no app answers at {host}")))?;
    }
}

/// A request that the visitor broke is nobody's loss.
fn note_loss(guard: &InFlightGuard, refusal: &Refusal) {
    if matches!(refusal.status, StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT) {
        guard.under_way().lost();
    }
}

/// Waits for a change of the table or `until`; refuses when too many wait or the deadline has passed.
async fn hold(
    shared: &Shared,
    changed: impl Future<Output = ()>,
    until: Instant,
    deadline: Instant,
) -> Result<(), Refusal> {
    if Instant::now() >= deadline {
        return Err(unavailable("no process of this app was ready in time; see `deis ps` and `deis logs`"));
    }
    if shared.held_requests.get() >= shared.settings.held_requests_max {
        return Err(unavailable("too many requests wait for this app to start"));
    }
    shared.held_requests.set(shared.held_requests.get() + 1);
    let held = scopeguard(|| shared.held_requests.set(shared.held_requests.get() - 1));
    // Either way the table is looked at again.
    let _ = tokio::time::timeout_at(until, changed).await;
    drop(held);
    Ok(())
}

/// Runs `end` also when the visitor hangs up and the future is dropped.
fn scopeguard<F: FnMut()>(end: F) -> impl Drop {
    struct Guard<F: FnMut()>(F);
    impl<F: FnMut()> Drop for Guard<F> {
        fn drop(&mut self) {
            (self.0)();
        }
    }
    Guard(end)
}

fn unavailable(text: &str) -> Refusal {
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, text)
}

async fn attempt(
    shared: &Rc<Shared>,
    site: &Site,
    backend: &Backend,
    request: Request<ProxyBody>,
) -> Result<Response<Incoming>, Attempt> {
    let pooled = shared.pool.take(&backend.key);
    let reused = pooled.is_some();
    let mut sender = match pooled {
        Some(sender) => sender,
        None => match connect(shared, site, backend).await {
            Ok(sender) => sender,
            Err(error) => {
                tracing::debug!(error = &error as &dyn std::error::Error, ?backend, "cannot connect");
                return Err(Attempt::Unsent(Box::new(request)));
            }
        },
    };

    let again = (reused && is_safe(&request)).then(|| copy(&request));
    let answer = tokio::time::timeout(site.rules.timeout, sender.try_send_request(request)).await;
    match answer {
        Err(_) => {
            Err(Attempt::Lost(Refusal::new(StatusCode::GATEWAY_TIMEOUT, "the app did not answer in time")))
        }
        Ok(Ok(response)) => {
            give_back(shared, backend, sender, response.status());
            Ok(response)
        }
        Ok(Err(mut error)) => match error.take_message().or(again) {
            Some(request) => Err(Attempt::Unsent(Box::new(request))),
            None => {
                let error = error.into_error();
                tracing::debug!(error = &error as &dyn std::error::Error, ?backend, "request lost");
                Err(Attempt::Lost(lost(&error)))
            }
        },
    }
}

fn lost(error: &hyper::Error) -> Refusal {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        match error.downcast_ref() {
            Some(BodyError::TooLarge(max)) => return guard::too_large(*max),
            Some(BodyError::Broken(_)) => {
                return Refusal::new(
                    StatusCode::BAD_REQUEST,
                    "the body of the request is malformed or was cut off",
                );
            }
            Some(BodyError::Silent(_)) => {
                return Refusal::new(
                    StatusCode::REQUEST_TIMEOUT,
                    "the body of the request did not come in time",
                );
            }
            Some(BodyError::Gzip(_)) | None => {}
        }
        cause = error.source();
    }
    Refusal::new(StatusCode::BAD_GATEWAY, "the app closed the connection without an answer")
}

/// GET and HEAD without a body change nothing (RFC 9110 section 9.2.1), so they may be sent twice.
fn is_safe(request: &Request<ProxyBody>) -> bool {
    matches!(*request.method(), Method::GET | Method::HEAD) && request.body().is_end_stream()
}

fn copy(request: &Request<ProxyBody>) -> Request<ProxyBody> {
    let mut copy = Request::new(ProxyBody::empty());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    copy
}

async fn connect(shared: &Shared, site: &Site, backend: &Backend) -> std::io::Result<Sender> {
    let connecting = TcpStream::connect(backend.address);
    let patience = site.rules.connect_timeout.unwrap_or(shared.settings.connect_timeout);
    let stream = tokio::time::timeout(patience, connecting).await??;
    stream.set_nodelay(true)?;
    let (sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(std::io::Error::other)?;
    tokio::task::spawn_local(async move {
        // Its errors reach whoever waits for an answer on it.
        let _ = connection.with_upgrades().await;
    });
    Ok(sender)
}

/// Puts the connection back into the pool once the answer's body has been read.
fn give_back(shared: &Rc<Shared>, backend: &Backend, mut sender: Sender, status: StatusCode) {
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return;
    }
    let shared = Rc::clone(shared);
    let key = backend.key.clone();
    tokio::task::spawn_local(async move {
        if sender.ready().await.is_ok() && shared.table.borrow().has_backend(&key) {
            shared.pool.put(&key, sender);
        }
    });
}

/// Joins visitor and app after a 101 (WebSocket and the like), until both have hung up.
fn switch_protocols(
    silence_max: Duration,
    mut response: Response<Incoming>,
    visitor: Option<OnUpgrade>,
    mut guard: InFlightGuard,
) -> Response<ProxyBody> {
    let Some(visitor) = visitor else {
        let text = "the app switched protocols without being asked to";
        return Refusal::new(StatusCode::BAD_GATEWAY, text).into_response();
    };
    guard.switched();
    let app = hyper::upgrade::on(&mut response);
    tokio::task::spawn_local(async move {
        let joined = async { tokio::try_join!(visitor, app) }.await;
        if let Ok((visitor, app)) = joined {
            tunnel(TokioIo::new(visitor), TokioIo::new(app), silence_max, guard.metrics()).await;
        }
        drop(guard);
    });
    let (parts, _) = response.into_parts();
    Response::from_parts(parts, ProxyBody::empty())
}

/// Copies both ways until both sides have ended, one has failed, or nothing came for `silence_max`.
async fn tunnel<V, A>(visitor: V, app: A, silence_max: Duration, metrics: &AppMetrics)
where
    V: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    A: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let last_moved = std::cell::Cell::new(Instant::now());
    let (mut from_visitor, mut to_visitor) = tokio::io::split(visitor);
    let (mut from_app, mut to_app) = tokio::io::split(app);
    let both = async {
        tokio::join!(
            copy_noting(&mut from_visitor, &mut to_app, &last_moved, &metrics.bytes_in),
            copy_noting(&mut from_app, &mut to_visitor, &last_moved, &metrics.bytes_out),
        )
    };
    let silent = async {
        while last_moved.get().elapsed() < silence_max {
            tokio::time::sleep_until(last_moved.get() + silence_max).await;
        }
    };
    tokio::select! { _ = both => (), () = silent => () }
}

async fn copy_noting<R, W>(from: &mut R, to: &mut W, moved: &std::cell::Cell<Instant>, bytes: &Count)
where
    R: tokio::io::AsyncRead + Unpin,
    W: tokio::io::AsyncWrite + Unpin,
{
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        moved.set(Instant::now());
        bytes.add(length as u64);
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
    // The other direction may go on: half-closed connections are legal.
    let _ = to.shutdown().await;
}
