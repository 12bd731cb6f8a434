//! Serving a router of the API on a listener until told to stop.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::{Extension, Router};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

/// How long sessions may take to end.
const GOODBYE_MAX: Duration = Duration::from_secs(8);

/// Serves until `shutdown` turns true or closes; requests under way are answered first,
/// those without an end are ended.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    mut shutdown: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let (open, mut closed) = mpsc::channel(1);
    let closing = Closing { shutdown: Some(shutdown.clone()), _open: Some(open) };
    let router = router.layer(Extension(closing));
    let stopped = async move {
        // A closed channel means that whoever could stop us is gone.
        let _ = shutdown.wait_for(|stop| *stop).await;
    };
    axum::serve(listener, router).with_graceful_shutdown(stopped).await?;
    // Connections that are no HTTP any more: closed when the last of them has dropped its end.
    _ = timeout(GOODBYE_MAX, closed.recv()).await;
    Ok(())
}

/// Tells a request that would never end by itself that the process ends.
#[derive(Clone, Default)]
pub(crate) struct Closing {
    shutdown: Option<watch::Receiver<bool>>,
    /// Held for as long as the request goes on.
    _open: Option<mpsc::Sender<()>>,
}

impl Closing {
    /// Waits for the end of the process; for ever where nobody says it.
    pub(crate) async fn begun(&mut self) {
        match &mut self.shutdown {
            Some(shutdown) => _ = shutdown.wait_for(|stop| *stop).await,
            None => std::future::pending().await,
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Closing {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}
