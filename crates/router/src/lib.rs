//! The edge: takes requests from visitors to the replicas of apps.
//!
//! It needs only the route table in memory and serves on while controller, builder and database are
//! down. Read `phases` in the order that a request meets them. One current-thread runtime per core,
//! each with its own listener (`SO_REUSEPORT`), upstream pool and copy of the table: no lock on the
//! way of a request.

mod access;
mod affinity;
mod body;
mod connection;
mod fast;
mod gzip;
mod metrics;
pub mod passthrough;
mod phases;
mod pool;
mod proxy_protocol;
mod report;
mod site;
mod table;
mod tables;
mod tls;
mod worker;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use engine::Routes;
use tokio::sync::watch;

pub use crate::metrics::Metrics;
pub use crate::tls::check_pair;

use crate::report::Reports;
use crate::tls::Tls;
use crate::worker::{Doors, Worker};

/// What a router must know before it starts.
#[derive(Debug, Clone)]
pub struct RouterSettings {
    pub listen: SocketAddr,
    /// Port that visitors know for HTTP, where it is not the one that is listened on.
    pub public_port: Option<u16>,
    pub https: Option<HttpsSettings>,
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
}

impl Router {
    /// Binds and starts the workers. `shutdown` turning true (or closing) drains and ends them.
    pub fn start(
        settings: &RouterSettings,
        routes: &Arc<dyn Routes>,
        shutdown: &watch::Receiver<bool>,
    ) -> Result<Self, RouterError> {
        let workers = match settings.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            workers => workers,
        };
        let (address, plain) = bind_all(settings.listen, workers)?;
        let mut settings = RouterSettings { listen: address, ..settings.clone() };
        let mut secure = Vec::new();
        if let Some(https) = &mut settings.https {
            (https.listen, secure) = bind_all(https.listen, workers)?;
        }
        let tls = settings.https.as_ref().map(|https| Tls::new(&https.self_signed_names)).transpose()?;
        let (https_address, tls) = (settings.https.as_ref().map(|https| https.listen), tls.map(Arc::new));

        let settings = Arc::new(settings);
        let reports = Arc::new(Reports::new(workers, Arc::clone(routes)));
        let metrics = Arc::new(Metrics::new(workers));
        let (tables, thread) = tables::start(routes.watch(), tls, workers).map_err(RouterError::Worker)?;
        let mut secure = secure.into_iter();
        let workers = plain.into_iter().enumerate().map(|(number, plain)| {
            let worker = Worker {
                number,
                settings: Arc::clone(&settings),
                tables: tables.clone(),
                reports: Arc::clone(&reports),
                metrics: metrics.worker(number),
                shutdown: shutdown.clone(),
            };
            worker.spawn(Doors { plain, secure: secure.next() }).map_err(RouterError::Worker)
        });
        let threads = workers.chain([Ok(thread)]).collect::<Result<_, _>>()?;
        Ok(Self { address, https_address, metrics, threads })
    }

    /// Where it listens; tells the port where 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens for HTTPS, if it does.
    pub fn https_address(&self) -> Option<SocketAddr> {
        self.https_address
    }

    /// What has been counted since the start.
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics)
    }

    /// Waits until all workers have drained; call after asking for shutdown.
    pub fn join(self) {
        for thread in self.threads {
            // A worker that panicked has said so on its way; the others still get their time.
            let _ = thread.join();
        }
    }
}

/// A listener for each worker on one address, and that address.
fn bind_all(
    address: SocketAddr,
    workers: usize,
) -> Result<(SocketAddr, Vec<std::net::TcpListener>), RouterError> {
    let first = worker::bind(address)?;
    let address = first.local_addr().map_err(RouterError::Worker)?;
    let mut listeners = vec![first];
    for _ in 1..workers {
        listeners.push(worker::bind(address)?);
    }
    Ok((address, listeners))
}
