//! The phases of a request, in the order that it meets them: `matching` finds the route, `guard`
//! decides whether it may pass, `forward` brings it to a backend, `log` counts what came of it.

mod forward;
mod guard;
mod headers;
mod log;
mod matching;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;

use http::{HeaderValue, StatusCode, header};
use hyper::body::Incoming;
use hyper::{Request, Response};

use crate::body::ProxyBody;
use crate::worker::Shared;

/// Serves one request.
pub(crate) async fn serve(
    shared: Rc<Shared>,
    client: SocketAddr,
    request: Request<Incoming>,
) -> Result<Response<ProxyBody>, Infallible> {
    let entry = log::Entry::begin(&request, client);
    let (owner, answer) = match matching::route(&shared, &request) {
        Err(refusal) => (None, refusal.into_response()),
        Ok((route, host)) => {
            let owner = Some(route.owner.clone());
            match guard::check(&shared, &route, client.ip(), &host, &request) {
                Err(refusal) => (owner, refusal.into_response()),
                Ok(()) => (owner, forward::forward(&shared, route, &host, client, request).await),
            }
        }
    };
    entry.end(owner.as_ref(), answer.status());
    Ok(answer)
}

/// An answer of the router's own.
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) text: String,
    pub(crate) location: Option<String>,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, text: text.into(), location: None }
    }

    pub(crate) fn into_response(self) -> Response<ProxyBody> {
        let mut response = Response::new(ProxyBody::text(self.text + "\n"));
        *response.status_mut() = self.status;
        let plain = HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, plain);
        if let Some(location) = self.location.and_then(|location| HeaderValue::try_from(location).ok()) {
            response.headers_mut().insert(header::LOCATION, location);
        }
        response
    }
}
