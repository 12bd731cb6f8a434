//! The logger: keeps the last lines of each app on disk and hands them out.
//!
//! On one machine it follows the engine's lines from where it left off. In a cluster lines come over HTTP:
//! an `agent` on each node reads the containers' log files, controller and builder write by a `writer`.
//! What is kept is bounded in lines and in bytes, for each app on its own. `store` decides what is on disk,
//! `segment` how, `http` who gets it, `follow` who gets it as it comes.

pub mod agent;
mod client;
mod collect;
mod follow;
mod http;
mod segment;
mod store;
mod writer;

use std::future::IntoFuture as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine::Logs;
use tokio::net::TcpListener;
use tokio::sync::watch;

pub use client::{ClientError, LoggerClient};
pub use writer::LogWriter;

use crate::store::Store;

/// How long answers under way may take at shutdown.
const GOODBYE_MAX: Duration = Duration::from_secs(3);

/// What a logger must know before it starts.
#[derive(Clone)]
pub struct LoggerSettings {
    /// Where HTTP is served, where `run` is given no listener.
    pub listen: SocketAddr,
    pub data_dir: PathBuf,
    /// Lines of an app that can be asked for.
    pub lines_per_app_max: usize,
    /// Bytes that an app's lines may take on disk; long lines push out old ones sooner.
    pub bytes_per_app_max: u64,
    /// Where set, requests for lines must carry it in [`KEY_HEADER`].
    pub key: Option<String>,
    /// Where set, lines are taken over HTTP from whoever carries it in [`KEY_HEADER`].
    pub lines_key: Option<String>,
}

/// Header that carries the key.
pub const KEY_HEADER: &str = "X-Deis-Logger-Auth";
/// Largest batch of lines that is taken over HTTP.
pub const BATCH_BYTES_MAX: usize = 4 << 20;

impl LoggerSettings {
    /// The defaults for a logger that keeps its data in `data_dir`.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 9002)),
            data_dir: data_dir.into(),
            lines_per_app_max: 1_000,
            bytes_per_app_max: 8 << 20,
            key: None,
            lines_key: None,
        }
    }
}

/// Why the logger could not start.
#[derive(Debug, thiserror::Error)]
pub enum LoggerError {
    #[error("cannot prepare {}: {source}", path.display())]
    Prepare { path: PathBuf, source: std::io::Error },
    #[error("cannot listen on {address}: {source}; choose another address or stop what holds it")]
    Listen { address: SocketAddr, source: std::io::Error },
    #[error("cannot serve logs: {0}")]
    Serve(#[source] std::io::Error),
}

/// Collects and serves until `shutdown` turns true or closes; what was collected is then on disk. Without
/// `logs` there is nothing to follow: all lines come over HTTP.
pub async fn run(
    settings: LoggerSettings,
    listener: Option<TcpListener>,
    logs: Option<Arc<dyn Logs>>,
    mut shutdown: watch::Receiver<bool>,
) -> Result<(), LoggerError> {
    let listener = match listener {
        Some(listener) => listener,
        None => bind(settings.listen).await?,
    };
    let store = Arc::new(Mutex::new(Store::open(&settings)?));
    let app = http::routes(Arc::clone(&store), &settings);
    // Both end by the same signal; the collector writes what it still holds.
    let followed = Arc::clone(&store);
    let collecting = collect::run(store, logs, shutdown.clone());
    let stopped = async move {
        // A closed channel means that the one who could stop us is gone.
        let _ = shutdown.wait_for(|stop| *stop).await;
        // Their requests would never end.
        collect::lock(&followed).end_following();
    };
    let serving = axum::serve(listener, app).with_graceful_shutdown(stopped).into_future();
    tokio::pin!(collecting, serving);
    tokio::select! {
        served = &mut serving => {
            collecting.await;
            served.map_err(LoggerError::Serve)
        }
        () = &mut collecting => {
            // A reader who does not read holds up nobody's end.
            tokio::time::timeout(GOODBYE_MAX, serving).await.unwrap_or(Ok(())).map_err(LoggerError::Serve)
        }
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, LoggerError> {
    TcpListener::bind(address).await.map_err(|source| LoggerError::Listen { address, source })
}
