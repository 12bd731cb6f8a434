//! Serving a router of the API on a listener until told to stop.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::{Extension, Router};
use listener::Network;
use listener::http::{BodyLimits, HttpLimits, RequestBody};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tower::ServiceExt as _;

use crate::http::BODY_BYTES_MAX;

/// Bounds of the API. `trusted_proxies` say in `X-Forwarded-For` for whom they speak.
pub fn api_limits(connections_max: usize, trusted_proxies: Vec<Network>) -> HttpLimits {
    HttpLimits {
        connections_max,
        connections_by_source_max: connections_max.div_ceil(4),
        requests_by_source_max: 128,
        bodies: Some(BodyLimits {
            bytes_max: BODY_BYTES_MAX as u64,
            held_bytes_max: 32 << 20,
            held_bytes_by_source_max: 8 << 20,
            held_bytes_by_user_max: 8 << 20,
            ..BodyLimits::default()
        }),
        trusted_proxies,
        ..HttpLimits::default()
    }
}

/// Bounds of what the builder reaches: it is one source, or two while it is replaced.
pub fn hooks_limits(connections_max: usize) -> HttpLimits {
    let bodies = BodyLimits {
        bytes_max: BODY_BYTES_MAX as u64,
        held_bytes_max: 16 << 20,
        held_bytes_by_source_max: 16 << 20,
        ..BodyLimits::default()
    };
    HttpLimits {
        requests_by_source_max: connections_max,
        bodies: Some(bodies),
        connections_max,
        connections_by_source_max: connections_max.div_ceil(2),
        ..HttpLimits::default()
    }
}

/// Connections of an API that nobody has divided files for.
const CONNECTIONS_MAX: usize = 1_024;
/// Longest time for sessions to end.
const GOODBYE_MAX: Duration = Duration::from_secs(8);

/// Serves as [`serve_within`] with the bounds of an API behind a router on the same machine.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let loopback = vec!["127.0.0.0/8".parse().expect("a range")];
    serve_within(listener, router, api_limits(CONNECTIONS_MAX, loopback), shutdown).await
}

/// Serves until `shutdown` turns true or closes; requests under way are answered first, endless ones are ended.
pub async fn serve_within(
    listener: TcpListener,
    router: Router,
    limits: HttpLimits,
    mut shutdown: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let (open, mut closed) = mpsc::channel(1);
    let closing = ShutdownSignal { shutdown: Some(shutdown.clone()), _open: Some(open) };
    let router = router.layer(Extension(closing));
    let stopped = async move {
        // A closed channel means that the sender of the stop signal is gone.
        let _ = shutdown.wait_for(|stop| *stop).await;
    };
    let handler = move |request: axum::http::Request<RequestBody>| {
        let answered = router.clone().oneshot(request.map(axum::body::Body::new));
        async { answered.await.unwrap_or_else(|never| match never {}) }
    };
    listener::http::serve(listener, limits, handler, stopped).await;
    // Connections that are no HTTP any more: closed when the last of them has dropped its end.
    _ = timeout(GOODBYE_MAX, closed.recv()).await;
    Ok(())
}

/// Notifies an endless request that the process ends.
#[derive(Clone, Default)]
pub(crate) struct ShutdownSignal {
    shutdown: Option<watch::Receiver<bool>>,
    /// Held until the request ends.
    _open: Option<mpsc::Sender<()>>,
}

impl ShutdownSignal {
    /// Waits for the end of the process; for ever where nobody says it.
    pub(crate) async fn begun(&mut self) {
        match &mut self.shutdown {
            Some(shutdown) => _ = shutdown.wait_for(|stop| *stop).await,
            None => std::future::pending().await,
        }
    }
}

impl<S: Sync> FromRequestParts<S> for ShutdownSignal {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}
