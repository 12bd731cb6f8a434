//! The edge proxy: forwards requests of clients to the replicas of apps.
//!
//! It needs only the route table in memory and serves on while controller, builder and database are down. `phases`
//! has the order of a request. There is one current-thread runtime per core, each with its own listener
//! (`SO_REUSEPORT`), upstream pool and copy of the table: requests take no lock, except those of apps with limits
//! (`limits`).
//!
//! Folders use only those below them: `listen`, `phases`, `upstream`, `body`, `access_log`, `table`, and at the bottom
//! `http1`, `limits` and `metrics` (`xtask/tests/architecture/folders.rs`).

mod access_log;
mod body;
mod error;
mod http1;
mod limits;
mod listen;
mod metrics;
mod phases;
mod settings;
mod state;
mod table;
mod upstream;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use engine::{LogSink, Routes};
use tokio::sync::watch;

pub use crate::error::RouterError;
pub use crate::limits::buffering::BufferingSettings;
pub use crate::limits::pace::LeastRate;
pub use crate::listen::passthrough;
pub use crate::metrics::Metrics;
pub use crate::settings::{HttpsSettings, RouterSettings};
pub use crate::table::last_table::{LastTable, LastTableError};
pub use crate::table::remembered::RememberedRoutes;
pub use crate::table::tls::check_pair;

use crate::access_log::log_publisher::LogPublisher;
use crate::limits::buffering::Buffering;
use crate::limits::connections::Connections;
use crate::limits::requests::LimitTable;
use crate::listen::worker::{Worker, WorkerListeners};
use crate::table::report::Reports;
use crate::table::tls::TlsConfigs;

/// A router that serves until it is stopped.
pub struct Router {
    address: SocketAddr,
    https_address: Option<SocketAddr>,
    metrics: Arc<Metrics>,
    threads: Vec<std::thread::JoinHandle<()>>,
    listeners: Listeners,
}

/// Dependencies of a router.
pub struct RouterParts {
    pub routes: Arc<dyn Routes>,
    /// Sink of the log lines about requests and rolls.
    pub log_sink: Option<Arc<dyn LogSink>>,
    /// Sockets that listen at the addresses of the settings, of a program before; without, they are made.
    pub listeners: Listeners,
    /// Turns true where shutdown is for a program that takes the sockets over.
    pub restarting: Arc<AtomicBool>,
}

impl RouterParts {
    /// A router that writes no log lines for apps and makes its own sockets.
    pub fn new(routes: Arc<dyn Routes>) -> Self {
        Self { routes, log_sink: None, listeners: Listeners::default(), restarting: Arc::default() }
    }
}

/// Listening sockets; each worker has one of each kind.
#[derive(Debug, Default)]
pub struct Listeners {
    pub plain: Vec<TcpListener>,
    pub secure: Vec<TcpListener>,
}

impl Router {
    /// A router that writes no log lines for apps.
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
        let RouterParts { routes, log_sink, listeners, restarting } = parts;
        // A socket without a worker would keep clients waiting forever.
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
        let tls =
            settings.https.as_ref().map(|https| TlsConfigs::new(&https.self_signed_names)).transpose()?;
        let (https_address, tls) = (settings.https.as_ref().map(|https| https.listen), tls.map(Arc::new));

        let listeners = Listeners { plain: handles(&plain)?, secure: handles(&secure)? };
        let settings = Arc::new(settings);
        let reports = Arc::new(Reports::new(workers, Arc::clone(&routes)));
        let metrics = Arc::new(Metrics::new(workers));
        let limits = Arc::new(LimitTable::new());
        let connections = Arc::new(Connections::new(
            settings.connections_max,
            settings.connections_by_source_max,
            settings.upstreams_max,
            workers,
        ));
        let buffering = Arc::new(Buffering::new(settings.buffering.clone()));
        let publisher = log_sink
            .map(|sink| LogPublisher::new(sink, Arc::clone(&metrics), settings.name.clone(), workers));
        let (publisher, log_sender) = publisher.unzip();
        let (tables, thread) =
            table::tables::start(routes.watch(), tls, workers).map_err(RouterError::Worker)?;
        let mut secure = secure.into_iter();
        let workers = plain.into_iter().enumerate().map(|(number, plain)| {
            let worker = Worker {
                number,
                settings: Arc::clone(&settings),
                tables: tables.clone(),
                reports: Arc::clone(&reports),
                metrics: metrics.worker(number),
                limits: Arc::clone(&limits),
                connections: Arc::clone(&connections),
                buffering: Arc::clone(&buffering),
                restarting: Arc::clone(&restarting),
                log_sender: log_sender.clone(),
                shutdown: shutdown.clone(),
            };
            worker.spawn(WorkerListeners { plain, secure: secure.next() }).map_err(RouterError::Worker)
        });
        let mut threads = workers.chain([Ok(thread)]).collect::<Result<Vec<_>, _>>()?;
        // Ends with the last worker that could send to it.
        threads.extend(publisher.map(LogPublisher::spawn).transpose().map_err(RouterError::Worker)?);
        Ok(Self { address, https_address, metrics, threads, listeners })
    }

    /// Address of the HTTP listener, with the port that was chosen for 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Address of the HTTPS listener, if there is one.
    pub fn https_address(&self) -> Option<SocketAddr> {
        self.https_address
    }

    /// Second handles of the listening sockets, for a program that takes them over. While one is held, a socket stays
    /// open after its worker has ended.
    pub fn take_listeners(&mut self) -> Listeners {
        std::mem::take(&mut self.listeners)
    }

    /// Counters since the start.
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics)
    }

    /// Waits until all workers have drained; call after asking for shutdown.
    pub fn join(self) {
        // Nobody is to come to a socket whose worker has ended.
        drop(self.listeners);
        for thread in self.threads {
            // A worker's panic is already logged; the others still get their time.
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
        listeners.push(listen::worker::bind(address)?);
    }
    let address = listeners[0].local_addr().map_err(RouterError::Worker)?;
    while listeners.len() < workers {
        listeners.push(listen::worker::bind(address)?);
    }
    Ok((address, listeners))
}

fn handles(listeners: &[TcpListener]) -> Result<Vec<TcpListener>, RouterError> {
    listeners.iter().map(TcpListener::try_clone).collect::<Result<_, _>>().map_err(RouterError::Worker)
}
