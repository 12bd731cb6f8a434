//! What probes ask: `/healthz` (the process answers) and `/readyz` (it can do its work).
//!
//! Liveness never depends on anything remote: a database that is down must not make Kubernetes restart the
//! controller. A process that was told to stop closes the port, and so is no longer ready.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Longest time that a check may take; probes wait no longer either.
const CHECK_MAX: Duration = Duration::from_secs(4);

/// Says why a role cannot work just now.
pub type Check = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> + Send + Sync>;

/// A check by an async function.
pub fn check<F, W>(ask: F) -> Check
where
    F: Fn() -> W + Send + Sync + 'static,
    W: Future<Output = Result<(), String>> + Send + 'static,
{
    Arc::new(move || Box::pin(ask()))
}

/// A role that is ready as soon as it runs.
pub fn always() -> Check {
    check(async || Ok(()))
}

/// Answers probes until the process is to stop.
pub async fn serve(
    listener: TcpListener,
    check: Check,
    stopping: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let routes =
        Router::new().route("/healthz", get(async || "ok\n")).route("/readyz", get(ready)).with_state(check);
    tokio::select! {
        served = axum::serve(listener, routes) => served,
        () = crate::process::stopped(stopping) => Ok(()),
    }
}

async fn ready(State(check): State<Check>) -> (StatusCode, String) {
    let checked = tokio::time::timeout(CHECK_MAX, check()).await;
    match checked.unwrap_or_else(|_| Err(format!("no answer within {CHECK_MAX:?}"))) {
        Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    }
}
