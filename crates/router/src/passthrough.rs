//! A plain way through: connections of one port go to one address, unread but for a PROXY protocol header. Git's SSH reaches the builder so.
//!
//! Only the number of connections is bounded here; how long one may live, idle or not, is the builder's
//! business, which alone knows whether a build is under way.

use std::sync::Arc;
use std::time::Duration;

use domain::routing::RouteTable;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use crate::proxy_protocol;

/// Between two tries to reach the target.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// What the way through must know.
#[derive(Debug, Clone)]
pub struct PassthroughSettings {
    /// Host and port, looked up for each connection.
    pub target: String,
    /// Tells whether connections begin with a PROXY protocol header, which the target does not understand.
    pub tables: Option<watch::Receiver<Arc<RouteTable>>>,
    /// Connections at once; more are closed at the door.
    pub connections_max: usize,
    /// How long to try: the builder may be about to come back.
    pub connect_timeout: Duration,
    /// How long connections may go on after shutdown was asked for.
    pub drain_timeout: Duration,
}

impl PassthroughSettings {
    pub fn new(target: impl Into<String>) -> Self {
        Self {
            target: target.into(),
            tables: None,
            connections_max: 256,
            connect_timeout: Duration::from_secs(10),
            drain_timeout: Duration::from_secs(10),
        }
    }
}

/// Passes connections until `shutdown` turns true or closes, then waits for those under way.
pub async fn run(
    settings: PassthroughSettings,
    listener: TcpListener,
    mut shutdown: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let settings = Arc::new(settings);
    let slots = Arc::new(Semaphore::new(settings.connections_max));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = shutdown.wait_for(|stop| *stop) => break,
        };
        match (accepted, Arc::clone(&slots).try_acquire_owned()) {
            (Ok((client, _)), Ok(slot)) => {
                let settings = Arc::clone(&settings);
                tokio::spawn(async move {
                    pass(client, &settings).await;
                    drop(slot);
                });
            }
            (Ok((_, peer)), Err(_)) => {
                tracing::warn!(%peer, "too many connections to the builder, one is refused");
            }
            (Err(error), _) => {
                tracing::warn!(%error, "cannot accept a connection for the builder");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    drop(listener);
    let all = u32::try_from(settings.connections_max).unwrap_or(u32::MAX);
    if timeout(settings.drain_timeout, slots.acquire_many(all)).await.is_err() {
        tracing::warn!("connections to the builder cut off at the end of draining");
    }
    Ok(())
}

async fn pass(mut client: TcpStream, settings: &PassthroughSettings) {
    let has_header = settings.tables.as_ref().is_some_and(|tables| tables.borrow().rules.proxy_protocol);
    if has_header {
        let read = timeout(settings.connect_timeout, proxy_protocol::read(&mut client)).await;
        if !matches!(read, Ok(Ok(_))) {
            return tracing::debug!("a connection to the builder had no PROXY protocol header");
        }
    }
    let target = &settings.target;
    let Ok(mut server) = timeout(settings.connect_timeout, connect(target)).await else {
        return tracing::warn!(%target, "the builder cannot be reached");
    };
    // Without it, keystrokes of a protocol wait for the acknowledgement of earlier ones.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    if let Err(error) = tokio::io::copy_bidirectional(&mut client, &mut server).await {
        tracing::debug!(%error, "a connection to the builder broke");
    }
}

/// Tries until somebody takes the connection; the caller bounds it.
async fn connect(target: &str) -> TcpStream {
    loop {
        match TcpStream::connect(target).await {
            Ok(server) => return server,
            Err(error) => tracing::debug!(%target, %error, "the builder does not take a connection yet"),
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}
