//! The SSH server: accepts connections, bounds them in number and idle time, and ends them.

use std::borrow::Cow;
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use russh::keys::{Algorithm, EcdsaCurve, HashAlg, PrivateKey};
use russh::server::Config;
use russh::{MethodKind, MethodSet, Preferred, SshId, compression};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::session::Connection;
use crate::{Builder, BuilderError};

/// How long a connection may be open without a command under way: to log in, to ask, to leave.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// How long the last answers may take to leave at shutdown.
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

/// Serves until `closing`; connections with a command under way go on to its end.
pub(crate) async fn serve(
    builder: Arc<Builder>,
    keys: Vec<PrivateKey>,
    listener: TcpListener,
    closing: CancellationToken,
) {
    let config = Arc::new(config(keys));
    let slots = Arc::new(Semaphore::new(builder.settings.connections_max));
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = closing.cancelled() => break,
        };
        match (accepted, Arc::clone(&slots).try_acquire_owned()) {
            (Ok((stream, _)), Ok(slot)) => {
                let connection =
                    connection(Arc::clone(&builder), Arc::clone(&config), stream, closing.clone());
                connections.spawn(async move {
                    connection.await;
                    drop(slot);
                });
            }
            (Ok((_, peer)), Err(_)) => tracing::warn!(%peer, "too many SSH connections, one is refused"),
            (Err(error), _) => {
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
        // Keys cannot be guessed, so waiting would only punish users who have several.
        auth_rejection_time: Duration::ZERO,
        auth_rejection_time_initial: Some(Duration::ZERO),
        max_auth_attempts: 20,
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

/// One connection until it ends by itself, idles too long, or is idle while we close.
async fn connection(
    builder: Arc<Builder>,
    config: Arc<Config>,
    stream: TcpStream,
    closing: CancellationToken,
) {
    // The library has no way to end a client that stalls the key exchange; closing the socket has.
    let Ok((stream, socket)) = with_second_handle(stream) else { return };
    let running = Arc::new(watch::Sender::new(0));
    let watched = running.subscribe();
    let session = async {
        match russh::server::run_stream(config, stream, Connection::new(builder, running)).await {
            Ok(session) => session.await,
            Err(error) => Err(error),
        }
    };
    tokio::pin!(session);
    tokio::select! {
        ended = &mut session => if let Err(error) = ended { tracing::debug!(%error, "an SSH connection broke") },
        () = idle(watched, &closing) => {
            let _ = socket.shutdown(Shutdown::Both);
            let _ = tokio::time::timeout(GOODBYE_MAX, session).await;
        }
    }
}

/// Ends when no command has been under way for too long.
async fn idle(mut running: watch::Receiver<usize>, closing: &CancellationToken) {
    loop {
        let done = running.wait_for(|count| *count == 0).await.is_ok();
        let grace = if done && !closing.is_cancelled() { IDLE_MAX } else { GOODBYE_MAX / 3 };
        let busy = async { running.wait_for(|count| *count > 0).await.is_ok() };
        tokio::select! {
            // Where nobody counts any more the connection ends by itself, or is stuck saying goodbye.
            counted = busy => if !counted {
                return tokio::time::sleep(GOODBYE_MAX).await;
            },
            () = tokio::time::sleep(grace) => return,
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
