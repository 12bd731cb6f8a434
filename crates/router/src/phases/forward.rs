//! Phase 6: to a backend and back.
//!
//! While the route wants replicas and none is ready, the request waits, bounded in time and number. It
//! is tried again elsewhere when nothing of it was sent; GET and HEAD also when a reused connection
//! closed before the first byte of the answer, for then the backend had most likely closed it before.

mod collect;
mod h2c;
mod http1;
mod request_headers;
mod switch;

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use domain::edge::Protocol;
use domain::routing::Backend;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, Version, header};
use hyper::body::{Body as _, Incoming};
use hyper::{Request, Response};
use tokio::time::Instant;

pub(super) use self::collect::linger_after;
use super::caller::RequestOrigin;
use super::{Refusal, guard};
use crate::body::{BodyFailure, ProxyBody};
use crate::http1::headers;
use crate::http1::response_error::ResponseError;
use crate::limits::connections::StreamHandle;
use crate::limits::requests::RequestPermit;
use crate::metrics::AppMetrics;
use crate::state::WorkerState;
use crate::table::SiteRef;
use crate::table::affinity;
use crate::table::in_flight::InFlightGuard;
use crate::table::site::{Destination, Site};

/// Longest head of a response, on both paths.
pub(super) const ANSWER_HEAD_BYTES_MAX: usize = 256 << 10;
/// Pause before backends that refused a connection are tried again.
const REFUSED_PAUSE: Duration = Duration::from_millis(100);

/// Brings the request to a backend of `route` and its answer back.
pub(super) async fn forward(
    shared: &Rc<WorkerState>,
    site: SiteRef,
    host: &str,
    caller: &RequestOrigin,
    permit: Option<RequestPermit>,
    attended: &Rc<StreamHandle>,
    mut request: Request<Incoming>,
) -> Response<ProxyBody> {
    if request.version() < Version::HTTP_11 {
        // Nor is its Upgrade listened to (RFC 9110 section 7.8).
        request.headers_mut().remove(header::UPGRADE);
    }
    let asked = headers::upgrade(request.headers());
    let is_collected = collect::is_wanted(&site, &request, asked.is_some());
    let visitor = asked.map(|protocol| (protocol, hyper::upgrade::on(&mut request)));
    let timeout = site.rules.timeout;
    let source = SocketAddr::new(caller.address, caller.address_port);
    let wanted = wanted_replica(&site, &request);
    let mark = wanted.as_ref().and_then(|wanted| wanted.as_deref());
    let mut outgoing = prepare(&site, site.metrics(&shared.metrics), caller, request);
    let uri = outgoing.uri().clone();
    if is_collected {
        let source = collect::source(&shared.table.borrow().rules, caller);
        let collected = match unserved(&site.destination(uri.path())) {
            // Nobody is to send what nobody will take.
            Some(refusal) => Err(refusal),
            None => {
                attended.is_sending(true);
                let collected = collect::collect(shared, source, outgoing).await;
                attended.is_sending(false);
                collected
            }
        };
        match collected {
            Ok(collected) => outgoing = collected,
            Err(refusal) => return refusal.into_response(),
        }
    }
    let attempt =
        async |site: &Site, backend: &Backend, guard: &mut InFlightGuard, request: Box<_>| match site
            .destination(uri.path())
            .protocol
        {
            Protocol::Http1 => http1::attempt(shared, site, host, backend, source, *request).await,
            Protocol::H2c => h2c::attempt(shared, site, backend, source, *request, guard).await,
        };
    let exchanged = send(shared, site, host, &uri, mark, Box::new(outgoing), attempt).await;
    match exchanged.map(|exchange| exchange.keeping(permit)) {
        Err(refusal) => refusal.into_response(),
        Ok(UpstreamResponse { answer, guard }) if answer.status() == StatusCode::SWITCHING_PROTOCOLS => {
            switch::switch_protocols(timeout, answer, visitor, guard, attended)
        }
        Ok(UpstreamResponse { answer, guard }) => {
            let (mut parts, body) = answer.into_parts();
            let checked = headers::check_size(&parts.headers, ANSWER_HEAD_BYTES_MAX)
                .and_then(|()| headers::check_answer(&mut parts.headers, parts.status));
            if let Err(error) = checked {
                guard.under_way().lost();
                return Refusal::from(error).into_response();
            }
            pass_on(&mut parts.headers, wanted, guard.backend_key(), caller);
            parts.version = Version::HTTP_11;
            Response::from_parts(parts, ProxyBody::answer(body, timeout, guard))
        }
    }
}

/// Replica that sticky sessions ask for; the inner value is the request's cookie, if any.
pub(super) fn wanted_replica<B>(site: &Site, request: &Request<B>) -> Option<Option<String>> {
    let is_sticky = site.rules.sticky && site.destination(request.uri().path()).is_sticky;
    is_sticky.then(|| affinity::wanted(request.headers()))
}

/// Makes the client's headers from an app's.
pub(super) fn pass_on(
    headers: &mut HeaderMap,
    wanted: Option<Option<String>>,
    backend_key: &str,
    caller: &RequestOrigin,
) {
    headers::strip_hop_by_hop(headers);
    if let Some(wanted) = wanted {
        let mark = affinity::mark(backend_key);
        if wanted.as_ref() != Some(&mark) {
            headers.append(header::SET_COOKIE, affinity::cookie(&mark, caller.is_https));
        }
    }
    // Each connection has its own framing. A length beside chunks means nothing (RFC 9112 section 6.3).
    if headers.remove(header::TRANSFER_ENCODING).is_some() {
        headers.remove(header::CONTENT_LENGTH);
    }
}

/// Makes the request what the app is to see, but for its body.
pub(super) fn prepare_head<B>(site: &Site, caller: &RequestOrigin, request: &mut Request<B>) {
    let headers = request.headers_mut();
    let upgrade = headers::upgrade(headers);
    headers::strip_hop_by_hop(headers);
    request_headers::strip_false_words(headers, caller);
    // The answer "100 Continue" is given by us as soon as the body is wanted.
    headers.remove(header::EXPECT);
    if let Some(coding) = headers.get_mut(header::TRANSFER_ENCODING) {
        // In capitals, some apps would not know it, and take the chunks for a request.
        *coding = HeaderValue::from_static("chunked");
    }
    request_headers::join_cookies(headers);
    request_headers::add_forwarded(headers, caller);
    if site.rules.request_start {
        request_headers::add_request_start(headers, SystemTime::now());
    } else {
        headers.remove(request_headers::REQUEST_START);
    }
    if let Some(protocol) = upgrade {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, protocol);
    }
    to_http1(request);
}

/// Gives a request the form of HTTP/1.1: the host in a header of its own, and a path as target.
fn to_http1<B>(request: &mut Request<B>) {
    if let Some(authority) = request.uri().authority() {
        let host = HeaderValue::try_from(authority.as_str()).expect("an authority is a valid header value");
        request.headers_mut().insert(header::HOST, host);
        *request.uri_mut() = path_of(request.uri());
    }
    *request.version_mut() = Version::HTTP_11;
}

/// The request as the app is to see it.
fn prepare(
    site: &Site,
    metrics: &Arc<AppMetrics>,
    caller: &RequestOrigin,
    mut request: Request<Incoming>,
) -> Request<ProxyBody> {
    prepare_head(site, caller, &mut request);
    let (parts, body) = request.into_parts();
    let body = if body.is_end_stream() {
        ProxyBody::empty()
    } else {
        ProxyBody::request(body, site.rules.body_bytes_max, site.rules.timeout, Arc::clone(metrics))
    };
    Request::from_parts(parts, body)
}

/// The target without scheme and host. `guard` has let through only paths, `*`, and URLs whose path may be empty.
fn path_of(uri: &Uri) -> Uri {
    match uri.path_and_query() {
        Some(path) if path.as_str().starts_with('?') => {
            Uri::try_from(format!("/{}", path.as_str())).expect("a slash before a query makes a path")
        }
        Some(path) => Uri::from(path.clone()),
        None => Uri::from_static("/"),
    }
}

/// Result of a request.
pub(super) struct UpstreamResponse<A> {
    pub(super) answer: A,
    pub(super) guard: InFlightGuard,
}

impl<A> UpstreamResponse<A> {
    /// Keeps the permit until the request has ended.
    pub(super) fn keeping(mut self, permit: Option<RequestPermit>) -> Self {
        permit.into_iter().for_each(|permit| self.guard.keep(permit));
        self
    }
}

/// Failure of one attempt.
pub(super) enum AttemptError<R> {
    /// Nothing reached the app: the request may go elsewhere.
    Unsent(R),
    /// The request is lost; this is the client's response.
    Lost(Refusal),
}

/// Finds a backend that takes the request; each path makes the attempts itself.
pub(super) async fn send<R, A>(
    shared: &Rc<WorkerState>,
    mut site: SiteRef,
    host: &str,
    uri: &Uri,
    mark: Option<&str>,
    mut request: R,
    mut attempt: impl AsyncFnMut(&Site, &Backend, &mut InFlightGuard, R) -> Result<A, AttemptError<R>>,
) -> Result<UpstreamResponse<A>, Refusal> {
    let deadline = Instant::now() + shared.settings.hold_timeout;
    let mut tried = Vec::new();
    loop {
        let metrics = site.metrics(&shared.metrics);
        let to = site.destination(uri.path());
        let mark = mark.filter(|_| to.is_sticky);
        // Subscribed before looking, so that no change of the table is missed.
        let changed = shared.table_changed.notified();
        if let Some((backend, mut guard)) = shared.in_flight.choose(to.backends, &tried, mark, metrics) {
            match attempt(&site, backend, &mut guard, request).await {
                Ok(answer) => {
                    guard.under_way().answered();
                    return Ok(UpstreamResponse { answer, guard });
                }
                Err(AttemptError::Lost(refusal)) => {
                    note_loss(&guard, &refusal);
                    return Err(refusal);
                }
                Err(AttemptError::Unsent(back)) => {
                    metrics.retries.add(1);
                    request = back;
                }
            }
            tried.push(backend.key.clone());
            if Instant::now() < deadline {
                continue;
            }
        }
        if let Some(refusal) = unserved(&to) {
            return Err(refusal);
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

/// The refusal where nothing serves, nor is about to.
fn unserved(to: &Destination<'_>) -> Option<Refusal> {
    let is_unserved = to.wanted == 0 && to.backends.is_empty();
    is_unserved.then(|| unavailable("no process serves this app; scale one up with `deis scale`"))
}

/// A request that the client broke does not count as lost.
fn note_loss(guard: &InFlightGuard, refusal: &Refusal) {
    if matches!(refusal.status, StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT) {
        guard.under_way().lost();
    }
}

/// Waits for a change of the table or `until`; refuses when too many wait or the deadline has passed.
async fn hold(
    shared: &WorkerState,
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
    // The table is read again in both cases.
    let _ = tokio::time::timeout_at(until, changed).await;
    drop(held);
    Ok(())
}

/// Runs `end` also when the client disconnects and the future is dropped.
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

/// Reason why a request was lost: its own body, where that has failed, else the app.
fn lost(failed: Option<&Cell<Option<BodyFailure>>>, error: ResponseError) -> Refusal {
    failed.and_then(Cell::get).map_or_else(|| error.into(), failure)
}

/// Response to a client whose request's body ended early.
fn failure(failed: BodyFailure) -> Refusal {
    match failed {
        BodyFailure::TooLarge(bytes_max) => guard::too_large(bytes_max),
        BodyFailure::Broken => {
            Refusal::new(StatusCode::BAD_REQUEST, "the body of the request is malformed or was cut off")
        }
        BodyFailure::Late => {
            Refusal::new(StatusCode::REQUEST_TIMEOUT, "the body of the request did not come in time")
        }
        BodyFailure::Lost => unavailable("the body of the request could not be kept; try again"),
    }
}

/// GET and HEAD without a body change nothing (RFC 9110 section 9.2.1), so they may be sent twice.
fn is_safe(request: &Request<ProxyBody>) -> bool {
    is_safe_method(request.method()) && request.body().is_end_stream()
}

pub(super) fn is_safe_method(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

fn copy(request: &Request<ProxyBody>) -> Request<ProxyBody> {
    let mut copy = Request::new(ProxyBody::empty());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    copy
}
