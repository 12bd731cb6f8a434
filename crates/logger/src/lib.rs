//! The logger: keeps the last lines of each app on disk and serves them.
//!
//! On one machine `ingest` follows the engine's lines from the last position, and takes those of the platform from a
//! queue. In a cluster all lines come over HTTP: an `agent` on each node reads the containers' log files, and `publish`
//! sends what controller, builder and router have to say. The stored lines are limited in number and bytes, for each
//! app separately. Each file uses only those after it: `http`, `follow`, `tail`, `ingest`, `store`, `segments`. For those
//! who send and read, `client` is the only one that knows the paths and keys of `http`; `batch` is the form of sent lines.

pub mod agent;
mod batch;
mod client;
mod follow;
mod http;
mod ingest;
mod publish;
mod segments;
mod settings;
mod store;
mod tail;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use listener::http::{BodyLimits, HttpLimits, RequestBody};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tower::ServiceExt as _;

pub use batch::BATCH_BYTES_MAX;
pub use client::{KEY_HEADER, LoggerClient, LoggerClientError};
pub use ingest::LocalLines;
pub use publish::publish;
pub use settings::{LoggerError, LoggerSettings};

use crate::store::LineStore;

/// Longest time for responses under way at shutdown.
const GOODBYE_MAX: Duration = Duration::from_secs(3);

/// Ingests and serves until `shutdown` turns true or closes; what was ingested is then on disk. Without `local` all
/// lines come over HTTP.
pub async fn run(
    settings: LoggerSettings,
    listener: Option<TcpListener>,
    local: Option<LocalLines>,
    mut shutdown: watch::Receiver<bool>,
) -> Result<(), LoggerError> {
    let listener = match listener {
        Some(listener) => listener,
        None => bind(settings.listen).await?,
    };
    let store = Arc::new(Mutex::new(LineStore::open(&settings)?));
    let app = http::routes(Arc::clone(&store), &settings, &shutdown);
    // All end with the same signal; `ingest` writes the lines that still wait.
    let ingesting = ingest::run(store, local, shutdown.clone());
    let stopped = async move {
        // A closed channel means that the sender of the stop signal is gone.
        let _ = shutdown.wait_for(|stop| *stop).await;
    };
    let handler = move |request: ::http::Request<RequestBody>| {
        let answered = app.clone().oneshot(request.map(axum::body::Body::new));
        async { answered.await.unwrap_or_else(|never| match never {}) }
    };
    let serving = listener::http::serve(listener, limits(&settings), handler, stopped);
    tokio::pin!(ingesting, serving);
    tokio::select! {
        () = &mut serving => ingesting.await,
        () = &mut ingesting => {
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
