//! The SSH server: accepts connections, limits them in number, time and bytes, and ends them.
//!
//! Connections that have not authenticated are in a pool of their own (`handshake_limit`), which sheds; authenticated ones
//! are counted in all, by user and by source (`session`).

use std::borrow::Cow;
use std::future::pending;
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use listener::{Source, proxy_protocol};
use russh::keys::{Algorithm, EcdsaCurve, HashAlg, PrivateKey};
use russh::server::Config;
use russh::{Disconnect, MethodKind, MethodSet, Preferred, SshId, compression};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::handshake_limit::HandshakePermit;
use crate::metered::{ByteBudget, MeteredStream};
use crate::progress::{AUTHENTICATION_MAX, ConnectionProgress, ProgressState};
use crate::session::SshSession;
use crate::{Builder, BuilderError};

/// Longest silence of a proxy's connection until it counts as one without a header.
const PROXY_HEADER_TIMEOUT: Duration = Duration::from_secs(1);
/// Longest time to send the reason of a disconnect.
const DISCONNECT_MAX: Duration = Duration::from_secs(1);
/// Authentications that may fail on one connection.
const ATTEMPTS_MAX: usize = 20;
/// Bytes of a channel that a client may send ahead.
const WINDOW_BYTES: u32 = 1 << 20;
/// Packets of a channel that wait for git; each has [`PACKET_BYTES_MAX`] at most.
const CHANNEL_PACKETS_MAX: usize = 16;
const PACKET_BYTES_MAX: u32 = 32 << 10;
/// Longest time for the last responses at shutdown.
pub(crate) const GOODBYE_MAX: Duration = Duration::from_secs(3);
/// Most connections that wait to be accepted.
const BACKLOG: u32 = 128;

/// Keys whose signatures are taken: all that OpenSSH makes today, RSA with SHA-2 only.
const KEYS: &[Algorithm] = &[
    Algorithm::Ed25519,
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 },
    Algorithm::Rsa { hash: Some(HashAlg::Sha512) },
    Algorithm::Rsa { hash: Some(HashAlg::Sha256) },
];

/// Binds the listener.
pub(crate) async fn bind(address: SocketAddr) -> Result<TcpListener, BuilderError> {
    let bind = || {
        let socket = if address.is_ipv4() {
            tokio::net::TcpSocket::new_v4()?
        } else {
            tokio::net::TcpSocket::new_v6()?
        };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    bind().map_err(|source| BuilderError::Listen { address, source })
}

/// Serves until `closing`; connections with a command under way continue to its end.
pub(crate) async fn serve(
    builder: Arc<Builder>,
    keys: Vec<PrivateKey>,
    listener: TcpListener,
    closing: CancellationToken,
) {
    let config = Arc::new(config(keys));
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = closing.cancelled() => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let client = SshConnection::new(&builder, peer.ip());
                let (builder, config) = (Arc::clone(&builder), Arc::clone(&config));
                connections.spawn(connection(builder, config, stream, client, closing.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept an SSH connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

fn config(keys: Vec<PrivateKey>) -> Config {
    Config {
        server_id: SshId::Standard(Cow::Borrowed("SSH-2.0-Workflow")),
        methods: MethodSet::from(&[MethodKind::PublicKey][..]),
        // Keys cannot be guessed, so a delay would only punish users with several keys.
        auth_rejection_time: Duration::ZERO,
        auth_rejection_time_initial: Some(Duration::ZERO),
        max_auth_attempts: ATTEMPTS_MAX,
        window_size: WINDOW_BYTES,
        maximum_packet_size: PACKET_BYTES_MAX,
        channel_buffer_size: CHANNEL_PACKETS_MAX,
        keys,
        preferred: Preferred {
            key: Cow::Borrowed(KEYS),
            // Packs are compressed already, and a bomb is not unpacked.
            compression: Cow::Borrowed(&[compression::NONE]),
            ..Preferred::DEFAULT
        },
        // A build may be silent for long; clients that are gone are found by asking.
        inactivity_timeout: None,
        keepalive_interval: Some(Duration::from_secs(15)),
        keepalive_max: 4,
        ..Config::default()
    }
}

/// Source of a connection, and its place among those that have not authenticated.
struct SshConnection {
    address: IpAddr,
    place: HandshakePermit,
    is_proxy: bool,
}

impl SshConnection {
    /// Takes a place, which may shed another connection.
    fn new(builder: &Builder, address: IpAddr) -> Self {
        let is_proxy = builder.settings.trusted_proxies.iter().any(|network| network.contains(address));
        let source = (!is_proxy).then(|| Source::from(address));
        Self { address, place: builder.waiting.take(source), is_proxy }
    }

    /// Reads the client's address from a proxy's header, if there is one.
    async fn read_proxy_header(&mut self, stream: &mut TcpStream) -> std::io::Result<()> {
        if !self.is_proxy {
            return Ok(());
        }
        let mut first = [0];
        // A connection without a header begins with `SSH-`, or with nothing if the client waits for the server's
        // version.
        let peeked = timeout(PROXY_HEADER_TIMEOUT, stream.peek(&mut first)).await;
        if !matches!(peeked, Ok(Ok(1))) || !proxy_protocol::may_begin_with(first[0]) {
            return Ok(());
        }
        let told = timeout(AUTHENTICATION_MAX, proxy_protocol::read(stream)).await??;
        if let Some(told) = told {
            self.address = told.ip();
            self.is_proxy = false;
            self.place.belongs_to(Source::from(told.ip()));
        }
        Ok(())
    }
}

/// One connection until it ends by itself, is shed for another, is over its time, or is idle while we close.
async fn connection(
    builder: Arc<Builder>,
    config: Arc<Config>,
    mut stream: TcpStream,
    mut client: SshConnection,
    closing: CancellationToken,
) {
    let started = Instant::now();
    let idle_max = builder.settings.idle_max;
    let shed = client.place.shed.clone();
    let result = tokio::select! {
        result = client.read_proxy_header(&mut stream) => result,
        () = shed.cancelled() => return,
    };
    if let Err(error) = result {
        return tracing::debug!(%error, peer = %client.address, "not a usable PROXY protocol header");
    }
    // The library cannot end a client that stalls the key exchange; closing the socket can.
    let Ok((stream, socket)) = with_second_handle(stream) else { return };
    let (progress, watched) = (ConnectionProgress::new(), ByteBudget::new());
    let (state, allowance) = (progress.watch(), watched.clone());
    let SshConnection { address, place, is_proxy } = client;
    let counted_as = (!is_proxy).then_some(address);
    let handler = SshSession::new(builder, progress, place, allowance, counted_as);
    let (told, mut telling) = oneshot::channel();
    let session = async {
        match russh::server::run_stream(config, MeteredStream::new(stream, watched), handler).await {
            Ok(session) => {
                let _ = told.send(session.handle());
                session.await
            }
            Err(error) => Err(error),
        }
    };
    tokio::pin!(session);
    tokio::select! {
        ended = &mut session => if let Err(error) = ended { tracing::debug!(%error, peer = %address, "an SSH connection broke") },
        () = shed.cancelled() => {
            tracing::debug!(peer = %address, "an SSH connection that had not authenticated made room for another");
            let _ = socket.shutdown(Shutdown::Both);
            let _ = timeout(GOODBYE_MAX, session).await;
        }
        reason = overdue(state, (started, idle_max), &closing) => {
            if let Ok(handle) = telling.try_recv() {
                let goodbye = handle.disconnect(Disconnect::ByApplication, reason.to_owned(), String::new());
                if timeout(DISCONNECT_MAX, async { tokio::join!(goodbye, &mut session) }).await.is_ok() {
                    return;
                }
            }
            let _ = socket.shutdown(Shutdown::Both);
            let _ = timeout(GOODBYE_MAX, session).await;
        }
    }
}

/// Ends, with the reason, when a connection has not come on for too long.
async fn overdue(
    mut state: watch::Receiver<ProgressState>,
    (started, idle_max): (Instant, Duration),
    closing: &CancellationToken,
) -> &'static str {
    loop {
        let now = *state.borrow_and_update();
        let limit = now.time_left(started.elapsed(), idle_max, closing.is_cancelled());
        let late = async {
            match limit {
                Some((left, reason)) => {
                    tokio::time::sleep(left).await;
                    reason
                }
                None => pending().await,
            }
        };
        tokio::select! {
            // Without a counter the connection ends by itself, or hangs in its disconnect.
            changed = state.changed() => if changed.is_err() {
                tokio::time::sleep(GOODBYE_MAX).await;
                return "the connection has ended";
            },
            reason = late => return reason,
            () = closing.cancelled(), if !closing.is_cancelled() => {}
        }
    }
}

/// The stream and a second handle to its socket.
fn with_second_handle(stream: TcpStream) -> std::io::Result<(TcpStream, std::net::TcpStream)> {
    stream.set_nodelay(true)?;
    let stream = stream.into_std()?;
    let socket = stream.try_clone()?;
    Ok((TcpStream::from_std(stream)?, socket))
}
