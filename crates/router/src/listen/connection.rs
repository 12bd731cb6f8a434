//! One connection of a client, from its first byte to its end: source, TLS, HTTP/1.1 or HTTP/2.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use domain::edge::RouterRules;
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

use super::fast_path;
use super::proxy_protocol;
use super::worker::LAME_DUCK;
use crate::http1::HEADERS_MAX;
use crate::http1::rewind_stream::RewindStream;
use crate::limits::connections::ConnectionHandle;
use crate::metrics::ConnectionCount;
use crate::phases;
use crate::phases::caller::ClientConnection;
use crate::state::WorkerState;
use crate::upstream::h2c::OnThisThread;

/// Largest head of a request.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Requests under way at once on one connection.
const STREAMS_MAX: u32 = 128;
/// Streams that a client opened and took back before they were looked at (rapid reset).
const RESETS_MAX: usize = 20;
/// A silent HTTP/2 connection is asked whether anyone is there.
const PING_EVERY: Duration = Duration::from_secs(60);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// Most bytes that are kept of one connection of HTTP/1 in either direction.
const BUFFER_BYTES_MAX: usize = 2 * HEAD_BYTES_MAX;
/// Bytes that an HTTP/2 client may send before they are read, for one request and in all.
const WINDOW_BYTES: u32 = 256 << 10;
/// Bytes buffered of one HTTP/2 response that its client does not take.
const SEND_BUFFER_BYTES: usize = 64 << 10;
/// Longest wait for the PROXY header of a proxy in front.
const PROXY_HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// Source whose share a connection takes: none if it comes from a trusted proxy, or its PROXY header is still to
/// come.
pub(crate) fn share(rules: &RouterRules, address: IpAddr, is_told: bool) -> Option<IpAddr> {
    let is_proxy = rules.trusted_proxies.iter().any(|network| network.covers(address));
    (!is_proxy && (is_told || !rules.proxy_protocol)).then_some(address)
}

/// Whether there is room in the share that the connection takes.
async fn takes_share(share: Option<IpAddr>, open: &ConnectionHandle, client: ClientConnection) -> bool {
    let Some(address) = share else { return true };
    let taken = open.belongs_to(address).await.is_ok();
    if !taken {
        tracing::debug!(peer = %client.peer, "too many connections from this address");
    }
    taken
}

/// Serves until the visitor leaves, or the router does.
pub(crate) async fn serve(
    mut stream: TcpStream,
    mut client: ClientConnection,
    shared: Rc<WorkerState>,
    open: ConnectionHandle,
    shutdown: watch::Receiver<bool>,
) {
    // Without it, small answers wait for the acknowledgement of earlier ones.
    let _ = stream.set_nodelay(true);
    let (rules, tls) = {
        let table = shared.table.borrow();
        (Arc::clone(&table.rules), table.tls.clone())
    };
    if !takes_share(share(&rules, client.peer.ip(), false), &open, client).await {
        return;
    }
    let _connected = ConnectionCount::begin(&shared.metrics);
    if rules.proxy_protocol {
        match timeout(PROXY_HEADER_TIMEOUT, proxy_protocol::read(&mut stream)).await {
            Ok(Ok(told)) => client.peer = proxy_protocol::believed(&rules, client.peer, told),
            Ok(Err(error)) => return tracing::debug!(%error, peer = %client.peer, "no PROXY protocol header"),
            Err(_) => return tracing::debug!(peer = %client.peer, "no PROXY protocol header in time"),
        }
        if !takes_share(share(&rules, client.peer.ip(), true), &open, client).await {
            return;
        }
    }
    match tls.filter(|_| client.is_tls) {
        None => http1(stream, client, shared, open, shutdown).await,
        // State that few connections need at a time is allocated only when needed.
        Some(config) => {
            let handshake = Box::pin(handshake(config, stream, client, &shared));
            let Some(stream) = handshake.await else { return };
            let protocol = stream.get_ref().1.alpn_protocol();
            if protocol == Some(domain::challenges::ALPN) {
                // The handshake was the answer; nothing follows (RFC 8737 section 3).
                return;
            }
            let is_http2 = protocol == Some(b"h2");
            if is_http2 {
                Box::pin(http2(stream, client, shared, open, shutdown)).await;
            } else {
                Box::pin(http1(stream, client, shared, open, shutdown)).await;
            }
        }
    }
}

async fn handshake(
    config: Arc<ServerConfig>,
    stream: TcpStream,
    client: ClientConnection,
    shared: &WorkerState,
) -> Option<TlsStream<TcpStream>> {
    let handshake_timeout = shared.settings.https.as_ref()?.handshake_timeout;
    match timeout(handshake_timeout, TlsAcceptor::from(config).accept(stream)).await {
        Ok(Ok(stream)) => Some(stream),
        Ok(Err(error)) => {
            tracing::debug!(%error, peer = %client.peer, "TLS handshake failed");
            None
        }
        Err(_) => {
            tracing::debug!(peer = %client.peer, "TLS handshake took too long");
            None
        }
    }
}

async fn http1<S>(
    stream: S,
    client: ClientConnection,
    shared: Rc<WorkerState>,
    open: ConnectionHandle,
    shutdown: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let stream = if shared.settings.fast_path {
        match fast_path::serve(stream, client, &shared, &open, &shutdown).await {
            Some(stream) => stream,
            None => return,
        }
    } else {
        RewindStream::untouched(stream)
    };
    Box::pin(slow_path(stream, client, shared, open, shutdown)).await;
}

async fn slow_path<S>(
    stream: RewindStream<S>,
    client: ClientConnection,
    shared: Rc<WorkerState>,
    open: ConnectionHandle,
    mut shutdown: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let head_timeout = shared.settings.head_timeout;
    let service = service_fn(move |request| phases::serve(Rc::clone(&shared), client, open.clone(), request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .max_header_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .max_buf_size(BUFFER_BYTES_MAX)
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
    note_end(ended, client);
}

/// Waits until an idle connection is to end. A client may just have sent a request: for a while it is answered,
/// over HTTP/1 with `Connection: close`. A request that has only begun has as long.
pub(crate) async fn lame_duck_over(shutdown: &mut watch::Receiver<bool>) {
    // A closed channel means that the sender of the stop signal is gone.
    let _ = shutdown.wait_for(|stop| *stop).await;
    tokio::time::sleep(LAME_DUCK).await;
}

async fn http2<S>(
    stream: S,
    client: ClientConnection,
    shared: Rc<WorkerState>,
    open: ConnectionHandle,
    mut shutdown: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request| phases::serve(Rc::clone(&shared), client, open.clone(), request));
    let connection = http2::Builder::new(OnThisThread)
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .max_send_buf_size(SEND_BUFFER_BYTES)
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
    note_end(ended, client);
}

fn note_end(ended: hyper::Result<()>, client: ClientConnection) {
    if let Err(error) = ended {
        tracing::debug!(error = &error as &dyn std::error::Error, peer = %client.peer, "connection ended early");
    }
}
