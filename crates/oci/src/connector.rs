//! Connections to registries, with retries: a cluster's DNS under load answers with "try again", and a
//! registry that was just replaced takes no connection for a moment. A build of minutes must not fail for that.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable as _};
use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use outbound::OutboundError;
use tokio::net::TcpStream;
use tower::Service;

/// Pauses between connection attempts.
const RETRIES: ExponentialBuilder =
    ExponentialBuilder::new().with_min_delay(Duration::from_millis(250)).with_max_times(3);

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Tries several times.
#[derive(Clone)]
pub enum RetryConnector {
    /// To registries of the operator's.
    Own(HttpConnector),
    /// To those that users name.
    Guarded(outbound::Connector),
}

impl RetryConnector {
    async fn connect(mut self, uri: Uri) -> Result<TokioIo<TcpStream>, Error> {
        match &mut self {
            Self::Own(connector) => Ok(connector.call(uri).await?),
            Self::Guarded(connector) => Ok(connector.call(uri).await?),
        }
    }
}

impl Service<Uri> for RetryConnector {
    type Response = TokioIo<TcpStream>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        match self {
            Self::Own(connector) => connector.poll_ready(context).map_err(Into::into),
            Self::Guarded(connector) => connector.poll_ready(context).map_err(Into::into),
        }
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move {
            let connect = || connector.clone().connect(uri.clone());
            let attempts = connect.retry(RETRIES).when(|error: &Error| refusal(&**error).is_none());
            attempts.notify(|error, _| tracing::debug!(%uri, %error, "no connection yet")).await
        })
    }
}

/// The refusal of the guard that an error comes from.
pub fn refusal<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a OutboundError> {
    let mut error = Some(error);
    while let Some(current) = error {
        let within = current.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if let Some(refused) = within.and_then(|inner| inner.downcast_ref()).or(current.downcast_ref()) {
            return Some(refused);
        }
        error = current.source();
    }
    None
}
