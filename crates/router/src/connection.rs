//! One connection of a visitor, from its first byte to its end: who it comes from, TLS, HTTP/1.1 or HTTP/2.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::fast::{self, Rewound};
use crate::phases;
use crate::proxy_protocol;
use crate::worker::{LAME_DUCK, Shared};

/// Largest head of a request, and most headers in it.
const HEAD_BYTES_MAX: usize = 64 << 10;
pub(crate) const HEADERS_MAX: usize = 100;
/// Requests under way at once on one connection.
const STREAMS_MAX: u32 = 128;
/// Streams that a client opened and took back before they were looked at (rapid reset).
const RESETS_MAX: usize = 20;
/// A silent HTTP/2 connection is asked whether anyone is there.
const PING_EVERY: Duration = Duration::from_secs(60);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a proxy in front may take to say who asks.
const PROXY_HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// Where a connection comes from and which door it took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Visit {
    pub(crate) peer: SocketAddr,
    pub(crate) is_tls: bool,
}

/// Serves until the visitor leaves, or the router does.
pub(crate) async fn serve(
    mut stream: TcpStream,
    mut visit: Visit,
    shared: Rc<Shared>,
    shutdown: watch::Receiver<bool>,
) {
    // Without it, small answers wait for the acknowledgement of earlier ones.
    let _ = stream.set_nodelay(true);
    let (rules, tls) = {
        let table = shared.table.borrow();
        (Arc::clone(&table.rules), table.tls.clone())
    };
    if rules.proxy_protocol {
        match timeout(PROXY_HEADER_TIMEOUT, proxy_protocol::read(&mut stream)).await {
            Ok(Ok(told)) => visit.peer = proxy_protocol::believed(&rules, visit.peer, told),
            Ok(Err(error)) => return tracing::debug!(%error, peer = %visit.peer, "no PROXY protocol header"),
            Err(_) => return tracing::debug!(peer = %visit.peer, "no PROXY protocol header in time"),
        }
    }
    match tls.filter(|_| visit.is_tls) {
        None => http1(stream, visit, shared, shutdown).await,
        Some(config) => {
            let Some(stream) = handshake(config, stream, visit, &shared).await else { return };
            let protocol = stream.get_ref().1.alpn_protocol();
            if protocol == Some(domain::challenges::ALPN) {
                // The handshake was the answer; nothing follows (RFC 8737 section 3).
                return;
            }
            let is_http2 = protocol == Some(b"h2");
            if is_http2 {
                http2(stream, visit, shared, shutdown).await;
            } else {
                http1(stream, visit, shared, shutdown).await;
            }
        }
    }
}

async fn handshake(
    config: Arc<ServerConfig>,
    stream: TcpStream,
    visit: Visit,
    shared: &Shared,
) -> Option<TlsStream<TcpStream>> {
    let patience = shared.settings.https.as_ref()?.handshake_timeout;
    match timeout(patience, TlsAcceptor::from(config).accept(stream)).await {
        Ok(Ok(stream)) => Some(stream),
        Ok(Err(error)) => {
            tracing::debug!(%error, peer = %visit.peer, "TLS handshake failed");
            None
        }
        Err(_) => {
            tracing::debug!(peer = %visit.peer, "TLS handshake took too long");
            None
        }
    }
}

async fn http1<S>(stream: S, visit: Visit, shared: Rc<Shared>, mut shutdown: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let stream = if shared.settings.short_way {
        match fast::serve(stream, visit, &shared, &shutdown).await {
            Some(stream) => stream,
            None => return,
        }
    } else {
        Rewound::untouched(stream)
    };
    let head_timeout = shared.settings.head_timeout;
    let service = service_fn(move |request| phases::serve(Rc::clone(&shared), visit, request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .max_header_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = lame_duck_over(&mut shutdown) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    note_end(ended, visit);
}

/// Waits until a connection is to end, though it has no request under way. A visitor may just have sent one: for a
/// while it is answered, over HTTP/1 with word that it is the last here. One that has only begun has as long.
pub(crate) async fn lame_duck_over(shutdown: &mut watch::Receiver<bool>) {
    // A closed channel means that whoever could stop us is gone.
    let _ = shutdown.wait_for(|stop| *stop).await;
    tokio::time::sleep(LAME_DUCK).await;
}

async fn http2<S>(stream: S, visit: Visit, shared: Rc<Shared>, mut shutdown: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request| phases::serve(Rc::clone(&shared), visit, request));
    let connection = http2::Builder::new(OnThisThread)
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(u32::try_from(HEAD_BYTES_MAX).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(RESETS_MAX)
        .max_local_error_reset_streams(RESETS_MAX)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = lame_duck_over(&mut shutdown) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    note_end(ended, visit);
}

fn note_end(ended: hyper::Result<()>, visit: Visit) {
    if let Err(error) = ended {
        tracing::debug!(error = &error as &dyn std::error::Error, peer = %visit.peer, "connection ended early");
    }
}

/// Requests of one connection run on its worker's thread.
#[derive(Clone, Copy)]
pub(crate) struct OnThisThread;

impl<F: Future + 'static> hyper::rt::Executor<F> for OnThisThread {
    fn execute(&self, future: F) {
        // Its end is seen by the connection.
        drop(tokio::task::spawn_local(async move { drop(future.await) }));
    }
}
