//! Probe endpoints: `/healthz` (the process answers), `/readyz` (it can do its work), and `/metrics` of a router.
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
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use listener::http::{HttpLimits, RequestBody};
use router::Metrics;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tower::ServiceExt as _;

/// Longest time that a check may take; probes wait no longer either.
const CHECK_MAX: Duration = Duration::from_secs(4);

/// Bounds: probes and collectors of metrics are few.
const CONNECTIONS_MAX: usize = 128;
const CONNECTIONS_BY_SOURCE_MAX: usize = 32;

/// Prometheus' text format.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Reason why a role cannot work now.
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

/// Answers probes until the process is to stop, and serves metrics if there are any.
pub async fn serve(
    listener: TcpListener,
    check: Check,
    metrics: Option<Arc<Metrics>>,
    stopping: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let mut routes =
        Router::new().route("/healthz", get(async || "ok\n")).route("/readyz", get(ready)).with_state(check);
    if let Some(metrics) = metrics {
        routes =
            routes.route("/metrics", get(async move || ([(CONTENT_TYPE, METRICS_TYPE)], metrics.text())));
    }
    let handler = move |request: axum::http::Request<RequestBody>| {
        let answered = routes.clone().oneshot(request.map(axum::body::Body::new));
        async { answered.await.unwrap_or_else(|never| match never {}) }
    };
    let limits = HttpLimits {
        connections_max: CONNECTIONS_MAX,
        connections_by_source_max: CONNECTIONS_BY_SOURCE_MAX,
        requests_by_source_max: CONNECTIONS_BY_SOURCE_MAX,
        ..HttpLimits::default()
    };
    tokio::select! {
        () = listener::http::serve(listener, limits, handler, std::future::pending()) => Ok(()),
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

#[cfg(test)]
mod tests {
    use engine::Routes;
    use engine::fake::FakeEngine;
    use router::RouterSettings;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    async fn ask(metrics: Option<Arc<Metrics>>, path: &str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let (_stop, stopping) = watch::channel(false);
        tokio::spawn(serve(listener, always(), metrics, stopping));
        let mut stream = tokio::net::TcpStream::connect(address).await.expect("it listens");
        let request = format!("GET {path} HTTP/1.1\r\nHost: probe\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("it is taken");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        answer
    }

    #[tokio::test]
    async fn a_router_tells_its_metrics_beside_its_probes_and_other_roles_have_none() {
        let routes: Arc<dyn Routes> = Arc::new(FakeEngine::new());
        let settings = RouterSettings { workers: 1, ..RouterSettings::new(([127, 0, 0, 1], 0).into()) };
        let (_stop, stopping) = watch::channel(false);
        let router = router::Router::start(&settings, &routes, &stopping).expect("a free port");

        let told = ask(Some(router.metrics()), "/metrics").await;

        assert!(told.starts_with("HTTP/1.1 200 ") && told.contains("text/plain; version=0.0.4"), "{told}");
        assert!(told.contains("\nworkflow_router_connections 0\n"), "{told}");
        assert!(ask(Some(router.metrics()), "/readyz").await.ends_with("ok\n"));
        assert!(ask(None, "/metrics").await.starts_with("HTTP/1.1 404 "));
    }
}
