//! The edge: takes requests from visitors to the replicas of apps.
//!
//! It needs only the route table in memory and serves on while controller, builder and database are
//! down. Read `phases` in the order that a request meets them. One current-thread runtime per core,
//! each with its own listener (`SO_REUSEPORT`), upstream pool and copy of the table: no lock on the
//! way of a request, but for those of apps with limits (`limits`).

mod access;
mod affinity;
mod app_log;
mod body;
mod compress;
mod connection;
mod connections;
mod fast;
mod h2c;
mod last_table;
mod limits;
mod metrics;
pub mod passthrough;
mod phases;
mod pool;
mod proxy_protocol;
mod remembered;
mod report;
mod site;
mod table;
mod tables;
mod teller;
mod tls;
mod upstream;
mod worker;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use domain::logs::LogLine;
use engine::Routes;
use tokio::sync::watch;

pub use crate::last_table::{LastTable, LastTableError};
pub use crate::metrics::Metrics;
pub use crate::remembered::RememberedRoutes;
pub use crate::tls::check_pair;

use crate::limits::LimitTable;
use crate::report::Reports;
use crate::teller::Teller;
use crate::tls::Tls;
use crate::worker::{Doors, Worker};

/// What a router must know before it starts.
#[derive(Debug, Clone)]
pub struct RouterSettings {
    pub listen: SocketAddr,
    /// Port that visitors know for HTTP, where it is not the one that is listened on.
    pub public_port: Option<u16>,
    pub https: Option<HttpsSettings>,
    /// What this router is called in the logs of apps, where there are several.
    pub name: Option<String>,
    /// Worker threads; 0 means one per core.
    pub workers: usize,
    /// How long a request may wait for a first ready backend.
    pub hold_timeout: Duration,
    /// Most requests that wait for a backend at once, per worker.
    pub held_requests_max: usize,
    /// How long connecting to one backend may take.
    pub connect_timeout: Duration,
    /// How long a client may take to send the head of a request.
    pub head_timeout: Duration,
    /// Open client connections per worker; more wait in the kernel's queue.
    pub connections_max: usize,
    /// Ordinary requests of HTTP/1 go the short way; otherwise all go the long one.
    pub short_way: bool,
    /// How long requests under way may go on after shutdown was asked for.
    pub drain_timeout: Duration,
}

/// Where and how TLS is spoken.
#[derive(Debug, Clone)]
pub struct HttpsSettings {
    pub listen: SocketAddr,
    /// Port that visitors know, where it is not the one that is listened on.
    pub public_port: Option<u16>,
    /// How long the handshake may take.
    pub handshake_timeout: Duration,
    /// Names in the certificate that is made at start, for where there is no other.
    pub self_signed_names: Vec<String>,
}

impl HttpsSettings {
    pub fn new(listen: SocketAddr) -> Self {
        let handshake_timeout = Duration::from_secs(10);
        Self { listen, public_port: None, handshake_timeout, self_signed_names: vec!["localhost".to_owned()] }
    }
}

impl RouterSettings {
    /// Settings for one machine or a small cluster.
    pub fn new(listen: SocketAddr) -> Self {
        Self {
            listen,
            public_port: None,
            https: None,
            name: None,
            workers: 0,
            hold_timeout: Duration::from_secs(10),
            held_requests_max: 1_000,
            connect_timeout: Duration::from_secs(3),
            head_timeout: Duration::from_secs(60),
            connections_max: 10_000,
            short_way: true,
            drain_timeout: Duration::from_secs(10),
        }
    }
}

/// Why the router could not start or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum RouterError {
    #[error("cannot listen on {address}: choose another address or stop what holds it")]
    Listen {
        address: SocketAddr,
        #[source]
        source: std::io::Error,
    },
    #[error("cannot start a router worker")]
    Worker(#[source] std::io::Error),
    #[error("cannot make a certificate for {names}: are these host names?")]
    SelfSigned {
        names: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// A router that serves until told to stop.
pub struct Router {
    address: SocketAddr,
    https_address: Option<SocketAddr>,
    metrics: Arc<Metrics>,
    threads: Vec<std::thread::JoinHandle<()>>,
    doors: Listeners,
}

/// What a router works with.
pub struct RouterParts {
    pub routes: Arc<dyn Routes>,
    /// Where apps are told of their requests and rolls.
    pub tell: Option<Tell>,
    /// Sockets that listen at the addresses of the settings, of a program before; without, they are made.
    pub listeners: Listeners,
    /// Turns true where shutdown is for a program that takes the sockets over.
    pub restarting: Arc<AtomicBool>,
}

impl RouterParts {
    /// A router that tells apps nothing and makes its own sockets.
    pub fn new(routes: Arc<dyn Routes>) -> Self {
        Self { routes, tell: None, listeners: Listeners::default(), restarting: Arc::default() }
    }
}

/// Listening sockets; each worker has one of each kind.
#[derive(Debug, Default)]
pub struct Listeners {
    pub plain: Vec<TcpListener>,
    pub secure: Vec<TcpListener>,
}

/// Takes a line for the log of an app; must not wait.
pub type Tell = Arc<dyn Fn(LogLine) + Send + Sync>;

impl Router {
    /// A router that tells apps nothing.
    pub fn start(
        settings: &RouterSettings,
        routes: &Arc<dyn Routes>,
        shutdown: &watch::Receiver<bool>,
    ) -> Result<Self, RouterError> {
        Self::start_with(settings, RouterParts::new(Arc::clone(routes)), shutdown)
    }

    /// Binds and starts the workers. `shutdown` turning true (or closing) drains and ends them.
    pub fn start_with(
        settings: &RouterSettings,
        parts: RouterParts,
        shutdown: &watch::Receiver<bool>,
    ) -> Result<Self, RouterError> {
        let RouterParts { routes, tell, listeners, restarting } = parts;
        // A socket without a worker would keep visitors waiting for ever.
        let workers = match (listeners.plain.len().max(listeners.secure.len()), settings.workers) {
            (0, 0) => std::thread::available_parallelism().map_or(1, usize::from),
            (0, workers) => workers,
            (inherited, _) => inherited,
        };
        let (address, plain) = bind_all(settings.listen, listeners.plain, workers)?;
        let mut settings = RouterSettings { listen: address, ..settings.clone() };
        let mut secure = Vec::new();
        if let Some(https) = &mut settings.https {
            (https.listen, secure) = bind_all(https.listen, listeners.secure, workers)?;
        }
        let tls = settings.https.as_ref().map(|https| Tls::new(&https.self_signed_names)).transpose()?;
        let (https_address, tls) = (settings.https.as_ref().map(|https| https.listen), tls.map(Arc::new));

        let doors = Listeners { plain: handles(&plain)?, secure: handles(&secure)? };
        let settings = Arc::new(settings);
        let reports = Arc::new(Reports::new(workers, Arc::clone(&routes)));
        let metrics = Arc::new(Metrics::new(workers));
        let limits = Arc::new(LimitTable::new());
        let teller = tell.map(|tell| Teller::new(tell, Arc::clone(&metrics), settings.name.clone(), workers));
        let (teller, ear) = teller.unzip();
        let (tables, thread) = tables::start(routes.watch(), tls, workers).map_err(RouterError::Worker)?;
        let mut secure = secure.into_iter();
        let workers = plain.into_iter().enumerate().map(|(number, plain)| {
            let worker = Worker {
                number,
                settings: Arc::clone(&settings),
                tables: tables.clone(),
                reports: Arc::clone(&reports),
                metrics: metrics.worker(number),
                limits: Arc::clone(&limits),
                restarting: Arc::clone(&restarting),
                teller: ear.clone(),
                shutdown: shutdown.clone(),
            };
            worker.spawn(Doors { plain, secure: secure.next() }).map_err(RouterError::Worker)
        });
        let mut threads = workers.chain([Ok(thread)]).collect::<Result<Vec<_>, _>>()?;
        // Ends with the last worker that could tell it something.
        threads.extend(teller.map(Teller::spawn).transpose().map_err(RouterError::Worker)?);
        Ok(Self { address, https_address, metrics, threads, doors })
    }

    /// Where it listens; tells the port where 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens for HTTPS, if it does.
    pub fn https_address(&self) -> Option<SocketAddr> {
        self.https_address
    }

    /// Second handles of the listening sockets, for a program that takes them over. While one is held, a socket stays
    /// open after its worker has ended.
    pub fn take_doors(&mut self) -> Listeners {
        std::mem::take(&mut self.doors)
    }

    /// What has been counted since the start.
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics)
    }

    /// Waits until all workers have drained; call after asking for shutdown.
    pub fn join(self) {
        // Nobody is to come to a socket whose worker has ended.
        drop(self.doors);
        for thread in self.threads {
            // A worker that panicked has said so on its way; the others still get their time.
            let _ = thread.join();
        }
    }
}

/// A listener for each worker on one address, and that address; those that are there already come first.
fn bind_all(
    address: SocketAddr,
    mut listeners: Vec<TcpListener>,
    workers: usize,
) -> Result<(SocketAddr, Vec<TcpListener>), RouterError> {
    if listeners.is_empty() {
        listeners.push(worker::bind(address)?);
    }
    let address = listeners[0].local_addr().map_err(RouterError::Worker)?;
    while listeners.len() < workers {
        listeners.push(worker::bind(address)?);
    }
    Ok((address, listeners))
}

fn handles(listeners: &[TcpListener]) -> Result<Vec<TcpListener>, RouterError> {
    listeners.iter().map(TcpListener::try_clone).collect::<Result<_, _>>().map_err(RouterError::Worker)
}
