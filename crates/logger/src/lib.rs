//! The logger: keeps the last lines of each app on disk and serves them.
//!
//! On one machine it follows the engine's lines from its last position. In a cluster lines come over HTTP: an
//! `agent` on each node reads the containers' log files, controller and builder send theirs by a `writer`. The
//! stored lines are limited in number and bytes, for each app separately. `store` decides which lines are on disk,
//! `segment` writes them, `http` serves them, `follow` streams new ones.

pub mod agent;
mod client;
mod collect;
mod follow;
mod http;
mod segment;
mod store;
mod writer;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine::Logs;
use listener::http::{BodyLimits, HttpLimits, RequestBody};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tower::ServiceExt as _;

pub use client::{LoggerClient, LoggerClientError};
pub use writer::LogWriter;

use crate::store::LineStore;

/// Longest time for responses under way at shutdown.
const GOODBYE_MAX: Duration = Duration::from_secs(3);

/// Settings of a logger.
#[derive(Clone)]
pub struct LoggerSettings {
    /// Address of the HTTP listener, if `run` is given none.
    pub listen: SocketAddr,
    pub data_dir: PathBuf,
    /// Lines of an app that can be asked for.
    pub lines_per_app_max: usize,
    /// Bytes that an app's lines may take on disk; long lines push out old ones sooner.
    pub bytes_per_app_max: u64,
    /// Key for reading lines, in [`KEY_HEADER`]; `None` asks for none.
    pub key: Option<String>,
    /// Connections at once. Each log that is followed is one, and each node of a cluster that sends lines.
    pub connections_max: usize,
    /// Key for sending lines over HTTP, in [`KEY_HEADER`]; `None` accepts no lines.
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
            connections_max: 2_048,
            lines_key: None,
        }
    }
}

/// A failed start of the logger.
#[derive(Debug, thiserror::Error)]
pub enum LoggerError {
    #[error("cannot prepare {}: {source}", path.display())]
    Prepare { path: PathBuf, source: std::io::Error },
    #[error("cannot listen on {address}: {source}; choose another address or stop what holds it")]
    Listen { address: SocketAddr, source: std::io::Error },
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
    let store = Arc::new(Mutex::new(LineStore::open(&settings)?));
    let app = http::routes(Arc::clone(&store), &settings);
    // Both end with the same signal; the collector writes the lines that it still holds.
    let followed = Arc::clone(&store);
    let collecting = collect::run(store, logs, shutdown.clone());
    let stopped = async move {
        // A closed channel means that the sender of the stop signal is gone.
        let _ = shutdown.wait_for(|stop| *stop).await;
        // Their requests would never end.
        collect::lock(&followed).end_following();
    };
    let handler = move |request: ::http::Request<RequestBody>| {
        let answered = app.clone().oneshot(request.map(axum::body::Body::new));
        async { answered.await.unwrap_or_else(|never| match never {}) }
    };
    let serving = listener::http::serve(listener, limits(&settings), handler, stopped);
    tokio::pin!(collecting, serving);
    tokio::select! {
        () = &mut serving => collecting.await,
        () = &mut collecting => {
            // A client that does not read must not delay the end.
            let _ = tokio::time::timeout(GOODBYE_MAX, serving).await;
        }
    }
    Ok(())
}

/// Controllers follow many logs each; nodes send from a connection or two.
fn limits(settings: &LoggerSettings) -> HttpLimits {
    let bodies = BodyLimits {
        bytes_max: BATCH_BYTES_MAX as u64,
        held_bytes_max: 8 * BATCH_BYTES_MAX,
        held_bytes_by_source_max: 2 * BATCH_BYTES_MAX,
        ..BodyLimits::default()
    };
    HttpLimits {
        connections_max: settings.connections_max,
        connections_by_source_max: settings.connections_max.div_ceil(2),
        requests_by_source_max: settings.connections_max.div_ceil(2),
        bodies: Some(bodies),
        ..HttpLimits::default()
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, LoggerError> {
    TcpListener::bind(address).await.map_err(|source| LoggerError::Listen { address, source })
}
