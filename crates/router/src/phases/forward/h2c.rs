//! An attempt at a backend that speaks HTTP/2: gRPC, and apps with that setting. Trailers pass in both directions.

use std::net::SocketAddr;
use std::rc::Rc;

use domain::routing::Backend;
use http::{HeaderValue, Uri, Version, header};
use hyper::body::Incoming;
use hyper::{Request, Response};

use super::{AttemptError, copy, is_safe, lost, to_http1};
use crate::body::ProxyBody;
use crate::http1::response_error::ResponseError;
use crate::state::WorkerState;
use crate::table::in_flight::InFlightGuard;
use crate::table::site::Site;
use crate::upstream::h2c::{self, H2cSender, StreamSlot};

/// `guard` keeps the request's place on its connection until the answer has ended.
pub(super) async fn attempt(
    shared: &Rc<WorkerState>,
    site: &Site,
    backend: &Backend,
    source: SocketAddr,
    request: Request<ProxyBody>,
    guard: &mut InFlightGuard,
) -> Result<Response<Incoming>, AttemptError<Box<Request<ProxyBody>>>> {
    let (mut sender, is_reused) = match sender(shared, site, backend, source, guard).await {
        Ok(found) => found,
        Err(error) => {
            tracing::debug!(%error, ?backend, "cannot connect");
            return Err(AttemptError::Unsent(Box::new(request)));
        }
    };
    let again = (is_reused && is_safe(&request)).then(|| copy(&request));
    let failed = request.body().failed();
    let answer = tokio::time::timeout(site.rules.timeout, sender.try_send_request(to_http2(request))).await;
    match answer {
        Err(_) => Err(AttemptError::Lost(ResponseError::Late.into())),
        Ok(Ok(response)) => Ok(response),
        Ok(Err(mut error)) => match error.take_message().or(again) {
            Some(mut request) => {
                // The next attempt may go to a backend that speaks otherwise.
                to_http1(&mut request);
                request.headers_mut().remove(header::TE);
                Err(AttemptError::Unsent(Box::new(request)))
            }
            None => {
                let error = error.into_error();
                tracing::debug!(error = &error as &dyn std::error::Error, ?backend, "request lost");
                Err(AttemptError::Lost(lost(failed.as_deref(), ResponseError::ClosedHttp2)))
            }
        },
    }
}

/// A connection that carries this request, and whether it carried others before.
async fn sender(
    shared: &Rc<WorkerState>,
    site: &Site,
    backend: &Backend,
    source: SocketAddr,
    guard: &mut InFlightGuard,
) -> std::io::Result<(H2cSender, bool)> {
    let open = || shared.upstreams.open(site, backend, source);
    if site.rules.proxy_header.is_some() {
        // It belongs to one client.
        return Ok((h2c::handshake(open().await?).await?.sender, false));
    }
    let connect_timeout = site.rules.connect_timeout.unwrap_or(shared.upstreams.connect_timeout);
    let place =
        tokio::time::timeout(connect_timeout, shared.upstreams.h2c.place(&backend.key, open)).await??;
    let StreamSlot { sender, stream, is_reused } = place;
    guard.keep(stream);
    Ok((sender, is_reused))
}

/// From the form of HTTP/1.1, in which the other phases have it.
fn to_http2(mut request: Request<ProxyBody>) -> Request<ProxyBody> {
    let host = request.headers_mut().remove(header::HOST);
    let host = host.as_ref().and_then(|host| host.to_str().ok()).unwrap_or_default();
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let uri = Uri::builder().scheme("http").authority(host).path_and_query(path).build();
    // A host was found in it before.
    *request.uri_mut() = uri.expect("host and path were parsed from a request");
    *request.version_mut() = Version::HTTP_2;
    for name in [header::CONNECTION, header::UPGRADE] {
        request.headers_mut().remove(name);
    }
    // They are passed on (RFC 9110 section 10.1.4); gRPC insists on it.
    request.headers_mut().insert(header::TE, HeaderValue::from_static("trailers"));
    request
}
