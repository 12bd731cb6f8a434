//! Buffering of request bodies before a backend is asked, so that a slow client occupies no process of an app:
//! many apps handle one request at a time in each.
//!
//! A body that finds no room streams, at a least rate. Streaming from the start is for upgrades, gRPC, apps that
//! speak HTTP/2, and apps with that setting.

use std::future::poll_fn;
use std::net::IpAddr;
use std::time::Duration;

use domain::edge::{Protocol, RouterRules};
use http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt as _;
use hyper::Request;
use hyper::body::{Body as _, Incoming};

use super::failure;
use crate::body::spool::Spool;
use crate::body::{BodyFailure, ProxyBody};
use crate::limits::pace::Pace;
use crate::phases::Refusal;
use crate::phases::caller::RequestOrigin;
use crate::state::WorkerState;
use crate::table::site::Site;

/// Time for which the rest of a refused body is read, so that the client reads the refusal: closing a connection
/// with unread bytes discards data that was sent to the client (RFC 9112 section 9.6).
const LINGER_MAX: Duration = Duration::from_secs(10);

/// Returns true if a request's body is buffered before the app is asked.
pub(super) fn is_wanted(site: &Site, request: &Request<Incoming>, is_upgrade: bool) -> bool {
    site.rules.request_buffering
        && !is_upgrade
        && !request.body().is_end_stream()
        && site.destination(request.uri().path()).protocol == Protocol::Http1
        && !is_grpc(request.headers())
}

/// Its bodies have no end while they are answered.
fn is_grpc(headers: &HeaderMap) -> bool {
    let media_type = headers.get(header::CONTENT_TYPE).map(|value| value.as_bytes()).unwrap_or_default();
    let name = b"application/grpc";
    media_type.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
}

/// Source whose share of the buffers a body takes; `None` for a proxy that does not name its client.
pub(super) fn source(rules: &RouterRules, caller: &RequestOrigin) -> Option<IpAddr> {
    let is_proxy = rules.trusted_proxies.iter().any(|network| network.covers(caller.address));
    (!is_proxy).then_some(caller.address)
}

/// The same request, whose body has come, but for what there was no room for.
pub(super) async fn collect(
    shared: &WorkerState,
    source: Option<IpAddr>,
    request: Request<ProxyBody>,
) -> Result<Request<ProxyBody>, Refusal> {
    let (parts, body) = request.into_parts();
    let mut body = match body {
        ProxyBody::Streamed(body) => body,
        other => return Ok(Request::from_parts(parts, other)),
    };
    let _coming = shared.in_flight.coming();
    body.keep_pace(Pace::new(shared.settings.body_rate));
    let size = body.size();
    let mut spool = Spool::new(shared.buffering.share(source));
    let rest = loop {
        match poll_fn(|cx| body.poll_frame(cx)).await {
            None => break None,
            Some(Err(error)) => {
                let failed = error.failure();
                if matches!(failed, BodyFailure::TooLarge(_)) {
                    linger(body.into_incoming());
                }
                return Err(failure(failed));
            }
            Some(Ok(frame)) => {
                // Trailers are dropped, as everywhere towards HTTP/1.
                let Ok(piece) = frame.into_data() else { continue };
                if !spool.push(&shared.buffering, &piece).await {
                    break Some((piece, body));
                }
            }
        }
    };
    if let Err(error) = spool.finish().await {
        tracing::warn!(%error, "cannot read the body of a request from disk");
        return Err(failure(BodyFailure::Lost));
    }
    Ok(Request::from_parts(parts, ProxyBody::spooled(spool, rest, size)))
}

/// Reads on for a while what nobody wants.
pub(in crate::phases) fn linger(mut body: Incoming) {
    if body.is_end_stream() {
        return;
    }
    tokio::task::spawn_local(async move {
        let rest = async { while let Some(Ok(_)) = body.frame().await {} };
        let _ = tokio::time::timeout(LINGER_MAX, rest).await;
    });
}

/// The same for a request that was refused for its length. A client that waits for 100 Continue must not get one.
pub(in crate::phases) fn linger_after(refusal: &Refusal, request: Request<Incoming>) {
    let is_waiting = request.headers().contains_key(header::EXPECT);
    if refusal.status == StatusCode::PAYLOAD_TOO_LARGE && !is_waiting {
        linger(request.into_body());
    }
}
