//! An attempt of the slow path at a backend that speaks HTTP/1.

use std::net::SocketAddr;
use std::rc::Rc;

use domain::routing::Backend;
use http::StatusCode;
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;

use super::{ANSWER_HEAD_BYTES_MAX, AttemptError, copy, is_safe, lost};
use crate::body::ProxyBody;
use crate::http1::response_error::ResponseError;
use crate::http1::{HEADERS_MAX, headers};
use crate::state::WorkerState;
use crate::table::site::Site;
use crate::upstream::pool::Sender;

pub(super) async fn attempt(
    shared: &Rc<WorkerState>,
    site: &Site,
    host: &str,
    backend: &Backend,
    source: SocketAddr,
    request: Request<ProxyBody>,
) -> Result<Response<Incoming>, AttemptError<Box<Request<ProxyBody>>>> {
    // With a PROXY header a connection belongs to one client.
    let is_shared = site.rules.proxy_header.is_none();
    let pooled = is_shared.then(|| shared.upstreams.slow.take(&backend.key)).flatten();
    let reused = pooled.is_some();
    let mut sender = match pooled {
        Some(sender) => sender,
        None => match connect(shared, site, backend, source).await {
            Ok(sender) => sender,
            Err(error) => {
                tracing::debug!(error = &error as &dyn std::error::Error, ?backend, "cannot connect");
                return Err(AttemptError::Unsent(Box::new(request)));
            }
        },
    };

    let again = (reused && is_safe(&request)).then(|| copy(&request));
    let failed = request.body().failed();
    let method = request.method().clone();
    let answer = tokio::time::timeout(site.rules.timeout, sender.try_send_request(request)).await;
    match answer {
        Err(_) => Err(AttemptError::Lost(ResponseError::Late.into())),
        Ok(Ok(response)) => {
            if is_shared && !headers::may_trail(&method, response.status(), response.headers()) {
                give_back(shared, host, backend, sender, response.status());
            }
            Ok(response)
        }
        Ok(Err(mut error)) => {
            if let Some(request) = error.take_message() {
                return Err(AttemptError::Unsent(Box::new(request)));
            }
            let error = error.into_error();
            let why = ResponseError::of_http1(&error);
            if let Some(request) = again.filter(|_| why == ResponseError::Closed) {
                return Err(AttemptError::Unsent(Box::new(request)));
            }
            tracing::debug!(error = &error as &dyn std::error::Error, ?backend, "request lost");
            Err(AttemptError::Lost(lost(failed.as_deref(), why)))
        }
    }
}

async fn connect(
    shared: &WorkerState,
    site: &Site,
    backend: &Backend,
    source: SocketAddr,
) -> std::io::Result<Sender> {
    let stream = shared.upstreams.open(site, backend, source).await?.outliving_hangups();
    let (sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_headers(HEADERS_MAX)
        .max_buf_size(ANSWER_HEAD_BYTES_MAX)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(std::io::Error::other)?;
    tokio::task::spawn_local(async move {
        // Its errors reach the request that waits for a response on it.
        let _ = connection.with_upgrades().await;
    });
    Ok(sender)
}

/// Puts the connection back into the pool once the answer's body has been read.
fn give_back(
    shared: &Rc<WorkerState>,
    host: &str,
    backend: &Backend,
    mut sender: Sender,
    status: StatusCode,
) {
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return;
    }
    let shared = Rc::clone(shared);
    let (host, key) = (host.to_owned(), backend.key.clone());
    let version = shared.table.borrow().version;
    tokio::task::spawn_local(async move {
        if sender.ready().await.is_ok() && shared.still_serves(version, &host, &key) {
            shared.upstreams.slow.put(&key, sender);
        }
    });
}
