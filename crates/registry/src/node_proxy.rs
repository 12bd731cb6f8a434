//! Makes the registry a node's own loopback, where container engines speak plain HTTP without being
//! configured: bytes go to the registry's Service and back, unread.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Settings of the proxy.
#[derive(Debug, Clone)]
pub struct NodeProxySettings {
    /// `host:port` of the registry's Service.
    pub target: String,
    /// Connections at a time; more wait to be taken.
    pub connections_max: usize,
    /// Until a connection on which nothing moves is closed.
    pub idle: Duration,
    /// Time for connections under way at shutdown.
    pub drain: Duration,
}

impl NodeProxySettings {
    pub fn new(target: String) -> Self {
        Self {
            target,
            connections_max: 512,
            idle: Duration::from_secs(15 * 60),
            drain: Duration::from_secs(25),
        }
    }
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Of each direction of a connection.
const BUFFER_BYTES: usize = 32 * 1024;
/// After a connection that could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Forwards connections of `listener` until `stop`, then until those under way have ended.
pub async fn run(settings: &NodeProxySettings, listener: TcpListener, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(settings.connections_max));
    let connections = TaskTracker::new();
    loop {
        let place = places.clone().acquire_owned().await.expect("it is never closed");
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        let Ok((stream, _)) = accepted else {
            // Out of files, mostly: let connections end before trying again.
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let settings = settings.clone();
        connections.spawn(async move {
            if let Err(error) = forward(&settings, stream).await {
                tracing::debug!(target = settings.target, %error, "a connection to the registry broke");
            }
            drop(place);
        });
    }
    drop(listener);
    connections.close();
    let _ = tokio::time::timeout(settings.drain, connections.wait()).await;
}

async fn forward(settings: &NodeProxySettings, client: TcpStream) -> io::Result<()> {
    let connecting = TcpStream::connect(&settings.target);
    let registry = match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
        Ok(Ok(registry)) => registry,
        Ok(Err(error)) => return unreachable(settings, &error),
        Err(_) => return unreachable(settings, &io::ErrorKind::TimedOut.into()),
    };
    client.set_nodelay(true)?;
    registry.set_nodelay(true)?;
    let (client_in, client_out) = client.into_split();
    let (registry_in, registry_out) = registry.into_split();
    // Either direction's moves keep both open: a long pull sends nothing up.
    let (moved, movement) = watch::channel(());
    let both = async {
        tokio::try_join!(copy(client_in, registry_out, &moved), copy(registry_in, client_out, &moved))
    };
    tokio::select! {
        ended = both => ended.map(drop),
        () = quiet(movement, settings.idle) => Err(io::ErrorKind::TimedOut.into()),
    }
}

fn unreachable(settings: &NodeProxySettings, error: &io::Error) -> io::Result<()> {
    tracing::warn!(target = settings.target, %error, "the registry cannot be reached");
    Ok(())
}

/// Copies one direction and closes it at its end; the other direction continues.
async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    moved: &watch::Sender<()>,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..count]).await?;
        moved.send_replace(());
    }
}

/// Returns once nothing has moved for so long.
async fn quiet(mut movement: watch::Receiver<()>, idle: Duration) {
    while let Ok(Ok(())) = tokio::time::timeout(idle, movement.changed()).await {}
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn proxy_to(
        target: String,
        change: impl FnOnce(&mut NodeProxySettings),
    ) -> (String, CancellationToken) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = listener.local_addr().expect("it is bound").to_string();
        let stop = CancellationToken::new();
        let mut settings = NodeProxySettings::new(target);
        change(&mut settings);
        tokio::spawn({
            let stop = stop.clone();
            async move { run(&settings, listener, stop).await }
        });
        (address, stop)
    }

    #[tokio::test]
    async fn a_client_that_has_said_all_still_hears_the_answer() {
        let server = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let target = server.local_addr().expect("it is bound").to_string();
        tokio::spawn(async move {
            let (mut stream, _) = server.accept().await.expect("the proxy comes");
            let mut said = Vec::new();
            stream.read_to_end(&mut said).await.expect("the client says its piece");
            said.reverse();
            stream.write_all(&said).await.expect("the client hears");
        });
        let (address, _stop) = proxy_to(target, |_| {}).await;

        let mut client = TcpStream::connect(address).await.expect("the proxy listens");
        client.write_all(b"abc").await.expect("it takes all");
        client.shutdown().await.expect("it can be half closed");
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.expect("an answer comes");

        assert_eq!(answer, b"cba");
    }

    #[tokio::test]
    async fn a_quiet_connection_and_one_without_a_registry_are_closed() {
        let server = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let target = server.local_addr().expect("it is bound").to_string();
        let (address, _stop) = proxy_to(target, |it| it.idle = Duration::from_millis(20)).await;
        let mut client = TcpStream::connect(address).await.expect("the proxy listens");
        assert!(matches!(client.read(&mut [0]).await, Ok(0) | Err(_)));

        let (address, _stop) = proxy_to("127.0.0.1:1".to_owned(), |_| {}).await;
        let mut client = TcpStream::connect(address).await.expect("the proxy listens");
        assert!(matches!(client.read(&mut [0]).await, Ok(0) | Err(_)));
    }
}
