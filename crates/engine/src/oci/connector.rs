//! Connections to registries, made with some patience: a cluster's DNS under load answers with "try again", and a
//! registry that was just replaced takes no connection for a moment. A build of minutes must not fail for that.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower::Service;

/// How often a connection is tried, and the first pause in between.
const TRIES: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// As the connector within, several times.
#[derive(Clone)]
pub struct PatientConnector(pub HttpConnector);

impl Service<Uri> for PatientConnector {
    type Response = TokioIo<TcpStream>;
    type Error = <HttpConnector as Service<Uri>>::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let mut connector = self.0.clone();
        Box::pin(async move {
            let mut pause = FIRST_PAUSE;
            for _ in 1..TRIES {
                match connector.call(uri.clone()).await {
                    Ok(connection) => return Ok(connection),
                    Err(error) => tracing::debug!(%uri, %error, "no connection yet"),
                }
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
            connector.call(uri).await
        })
    }
}
