//! TCP forwarding: connections of one port go to one address, unread but for a PROXY protocol header. Git's SSH
//! reaches the builder in this way, which learns the client's address by a header of our own.
//!
//! Who is a user is for the builder to say: what it has not said yet is read nowhere here. So a connection counts as one
//! without a login until the time is over that the builder gives for it; these have a pool of their own, and a source
//! has a share of that. When it is full, the one goes that has been silent for longest, of the source that has most. How
//! long others may live, idle or not, is the builder's business, which alone knows whether a build is under way.

mod connections;

use std::sync::Arc;
use std::time::Duration;

use domain::edge::ProxyHeader;
use domain::routing::RouteTable;
use std::net::SocketAddr;

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout, timeout_at};

use self::connections::{MonitoredStream, PassthroughConnection, PassthroughConnections};
use super::connection;
use super::proxy_protocol;
use crate::upstream::proxy_header;

/// Between two tries to reach the target.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Settings of the connection to the builder.
#[derive(Debug, Clone)]
pub struct PassthroughSettings {
    /// Host and port, looked up for each connection.
    pub target: String,
    /// Route tables, whose rules say whether connections begin with a PROXY protocol header, which is not
    /// forwarded.
    pub tables: Option<watch::Receiver<Arc<RouteTable>>>,
    /// PROXY header with the client's address for the target; only for targets that understand it.
    pub proxy_header: Option<ProxyHeader>,
    /// Connections at once that have outlived the time for a login; more are closed.
    pub connections_max: usize,
    /// Connections at once that have not; beyond it one of the source with most of them is closed.
    pub newcomers_max: usize,
    /// The same of one source, newcomers or not, and newcomers alone.
    pub by_source_max: usize,
    pub newcomers_by_source_max: usize,
    /// Time that the builder allows for a login.
    pub login_timeout: Duration,
    /// Longest silence at the start of a connection.
    pub first_word_timeout: Duration,
    /// Time of connection attempts: the builder may be restarting.
    pub connect_timeout: Duration,
    /// Longest time for connections after shutdown was requested.
    pub drain_timeout: Duration,
}

impl PassthroughSettings {
    pub fn new(target: impl Into<String>) -> Self {
        Self {
            target: target.into(),
            tables: None,
            proxy_header: None,
            connections_max: 256,
            newcomers_max: 128,
            by_source_max: 64,
            newcomers_by_source_max: 32,
            login_timeout: Duration::from_secs(60),
            first_word_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(10),
            drain_timeout: Duration::from_secs(10),
        }
    }
}

/// Forwards connections until `shutdown` turns true or closes, then waits for those under way.
pub async fn run(
    settings: PassthroughSettings,
    listener: TcpListener,
    mut shutdown: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let settings = Arc::new(settings);
    let connections = Arc::new(PassthroughConnections::new(Arc::clone(&settings)));
    let all = settings.connections_max + settings.newcomers_max;
    // A connection that is being closed may take a moment.
    let slots = Arc::new(Semaphore::new(all + settings.newcomers_max));
    loop {
        let next = async {
            // Those that were told to end do so at once.
            let slot = Arc::clone(&slots).acquire_owned().await;
            (listener.accept().await, slot)
        };
        let (accepted, slot) = tokio::select! {
            next = next => next,
            _ = shutdown.wait_for(|stop| *stop) => break,
        };
        match accepted {
            Ok((client, peer)) => match connections.admit(share(&settings, peer, false)) {
                Ok(connection) => {
                    let (settings, connections) = (Arc::clone(&settings), Arc::clone(&connections));
                    tokio::spawn(async move {
                        tokio::select! {
                            () = pass(client, peer, &settings, &connections, &connection) => {}
                            () = connection.must_end() => tracing::debug!(%peer, "a silent connection to the builder ends"),
                        }
                        connections.remove(&connection);
                        drop(slot);
                    });
                }
                Err(refused) => tracing::warn!(%peer, "a connection to the builder is refused: {refused}"),
            },
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection for the builder");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    drop(listener);
    let all = u32::try_from(all + settings.newcomers_max).unwrap_or(u32::MAX);
    if timeout(settings.drain_timeout, slots.acquire_many(all)).await.is_err() {
        tracing::warn!("connections to the builder cut off at the end of draining");
    }
    Ok(())
}

/// Source whose share a connection takes, as far as it is known.
fn share(settings: &PassthroughSettings, peer: SocketAddr, is_told: bool) -> Option<std::net::IpAddr> {
    match &settings.tables {
        Some(tables) => connection::share(&tables.borrow().rules, peer.ip(), is_told),
        None => Some(peer.ip()),
    }
}

async fn pass(
    mut client: TcpStream,
    mut peer: SocketAddr,
    settings: &PassthroughSettings,
    connections: &PassthroughConnections,
    connection: &Arc<PassthroughConnection>,
) {
    let first_word_by = Instant::now() + settings.first_word_timeout;
    let rules = settings.tables.as_ref().map(|tables| Arc::clone(&tables.borrow().rules));
    if let Some(rules) = rules.filter(|rules| rules.proxy_protocol) {
        match timeout_at(first_word_by, proxy_protocol::read(&mut client)).await {
            Ok(Ok(told)) => peer = proxy_protocol::believed(&rules, peer, told),
            _ => return tracing::debug!(%peer, "a connection to the builder had no PROXY protocol header"),
        }
        if let Some(Err(refused)) =
            share(settings, peer, true).map(|address| connections.belongs_to(connection, address))
        {
            return tracing::warn!(%peer, "a connection to the builder is refused: {refused}");
        }
    }
    let target = &settings.target;
    let Ok(mut server) = timeout(settings.connect_timeout, connect(target)).await else {
        return tracing::warn!(%target, "the builder cannot be reached");
    };
    if let Some(version) = settings.proxy_header {
        let told = tell_source(version, peer, &client, &mut server);
        if !matches!(timeout(settings.connect_timeout, told).await, Ok(Ok(()))) {
            return tracing::warn!(%target, "the builder takes no PROXY protocol header");
        }
    }
    // Without it, keystrokes of a protocol wait for the acknowledgement of earlier ones.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    // Time that the builder took is not the client's.
    let first_word_by = Instant::now() + settings.first_word_timeout;
    let mut client = MonitoredStream::new(client, Arc::clone(connection));
    tokio::select! {
        copied = tokio::io::copy_bidirectional(&mut client, &mut server) => {
            if let Err(error) = copied {
                tracing::debug!(%error, "a connection to the builder broke");
            }
        }
        () = connection.stays_silent_until(first_word_by) => tracing::debug!(%peer, "a connection to the builder says nothing"),
    }
}

/// Sends the header before anything of the client's, which can so name no source of its own.
async fn tell_source(
    version: ProxyHeader,
    source: SocketAddr,
    client: &TcpStream,
    server: &mut TcpStream,
) -> std::io::Result<()> {
    server.write_all(&proxy_header::header(version, source, client.local_addr()?)).await
}

/// Tries until the target accepts the connection; the caller limits the time.
async fn connect(target: &str) -> TcpStream {
    loop {
        match TcpStream::connect(target).await {
            Ok(server) => return server,
            Err(error) => tracing::debug!(%target, %error, "the builder does not take a connection yet"),
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}
