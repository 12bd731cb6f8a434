//! The edge: takes requests from visitors to the replicas of apps.
//!
//! It needs only the route table in memory and serves on while controller, builder and database are
//! down. Read `phases` in the order that a request meets them. One current-thread runtime per core,
//! each with its own listener (`SO_REUSEPORT`), upstream pool and copy of the table: no lock on the
//! way of a request.

mod body;
pub mod passthrough;
mod phases;
mod pool;
mod report;
mod table;
mod worker;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use engine::Routes;
use tokio::sync::watch;

use crate::report::Reports;
use crate::worker::Worker;

/// What a router must know before it starts.
#[derive(Debug, Clone)]
pub struct RouterSettings {
    pub listen: SocketAddr,
    /// Worker threads; 0 means one per core.
    pub workers: usize,
    /// How long a request may wait for a first ready backend.
    pub hold_timeout: Duration,
    /// Most requests that wait for a backend at once, per worker.
    pub held_requests_max: usize,
    /// How long connecting to one backend may take.
    pub connect_timeout: Duration,
    /// How long a backend may stay silent, before and within its answer.
    pub upstream_timeout: Duration,
    /// How long a client may take to send the head of a request.
    pub head_timeout: Duration,
    /// Open client connections per worker; more wait in the kernel's queue.
    pub connections_max: usize,
    /// Largest request body; larger ones are answered 413.
    pub body_bytes_max: u64,
    /// How long requests under way may go on after shutdown was asked for.
    pub drain_timeout: Duration,
}

impl RouterSettings {
    /// Settings for one machine or a small cluster.
    pub fn new(listen: SocketAddr) -> Self {
        Self {
            listen,
            workers: 0,
            hold_timeout: Duration::from_secs(10),
            held_requests_max: 1_000,
            connect_timeout: Duration::from_secs(3),
            upstream_timeout: Duration::from_secs(1_300),
            head_timeout: Duration::from_secs(60),
            connections_max: 10_000,
            body_bytes_max: 1 << 30,
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
}

/// A router that serves until told to stop.
pub struct Router {
    address: SocketAddr,
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
        let first = worker::bind(settings.listen)?;
        let address = first.local_addr().map_err(RouterError::Worker)?;
        let mut listeners = vec![first];
        for _ in 1..workers {
            listeners.push(worker::bind(address)?);
        }

        let settings = Arc::new(RouterSettings { listen: address, ..settings.clone() });
        let reports = Arc::new(Reports::new(workers, Arc::clone(routes)));
        let threads = listeners.into_iter().enumerate().map(|(number, listener)| {
            let worker = Worker {
                number,
                settings: Arc::clone(&settings),
                tables: routes.watch(),
                reports: Arc::clone(&reports),
                shutdown: shutdown.clone(),
            };
            worker.spawn(listener).map_err(RouterError::Worker)
        });
        Ok(Self { address, threads: threads.collect::<Result<_, _>>()? })
    }

    /// Where it listens; tells the port where 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until all workers have drained; call after asking for shutdown.
    pub fn join(self) {
        for thread in self.threads {
            // A worker that panicked has said so on its way; the others still get their time.
            let _ = thread.join();
        }
    }
}
