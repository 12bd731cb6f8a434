//! The client of a logger, for all who read or send lines (docs/spec/components.md 7.3).

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable as _};
use bytes::Bytes;
use domain::AppName;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use crate::batch::LineBatch;

/// Header that carries the key.
pub const KEY_HEADER: &str = "X-Deis-Logger-Auth";
/// Lines that are asked for where the user names no number.
const LINES_DEFAULT: u64 = 100;
/// Largest answer that is taken whole; the logger keeps less than this for an app.
const ANSWER_BYTES_MAX: usize = 32 << 20;
/// Longest wait for one answer.
const ANSWER_MAX: Duration = Duration::from_secs(20);
/// Pauses between requests of readers before the logger counts as unreachable.
const READING: ExponentialBuilder =
    ExponentialBuilder::new().with_min_delay(Duration::from_millis(100)).with_max_times(2);
/// Pauses before a batch is sent again.
const RETRY_FIRST: Duration = Duration::from_millis(200);
const SENDING: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(RETRY_FIRST)
    .with_max_delay(Duration::from_secs(5))
    .without_max_times();

/// A failed request to the logger. It may be repeated.
#[derive(Debug, thiserror::Error)]
pub enum LoggerClientError {
    #[error("the logger at {url} does not answer")]
    Unreachable {
        url: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("the disk of the logger at {url} is full; free some space")]
    Full { url: String },
    #[error("the logger at {url} answered {status}; is the key the one that the logger has?")]
    Refused { url: String, status: StatusCode },
}

/// A client of one logger. A clone shares its connections.
#[derive(Clone)]
pub struct LoggerClient {
    http: Client<HttpConnector, Full<Bytes>>,
    url: String,
    key: Option<String>,
}

impl LoggerClient {
    /// `url` is the logger's base address, such as `http://deis-logger`; `key` allows reading lines, or sending them.
    pub fn new(url: &str, key: Option<String>) -> Self {
        let http = Client::builder(TokioExecutor::new()).build_http();
        Self { http, url: url.trim_end_matches('/').to_owned(), key }
    }

    /// The newest lines of the app, one entry a line; `None` where there are none.
    ///
    /// # Errors
    ///
    /// [`LoggerClientError`] after two more attempts for a logger that is unreachable.
    pub async fn lines(&self, app: &AppName, count: Option<u64>) -> Result<Option<Bytes>, LoggerClientError> {
        let path = format!("/logs/{app}?log_lines={}", count.unwrap_or(LINES_DEFAULT));
        let unreachable = |error: &LoggerClientError, _| {
            tracing::debug!(error = error as &dyn std::error::Error, "logger is unreachable");
        };
        let ask = || self.exchange(Method::GET, &path, Bytes::new());
        match ask.retry(READING).notify(unreachable).await? {
            (StatusCode::OK, body) => Ok(Some(body)),
            (StatusCode::NO_CONTENT | StatusCode::NOT_FOUND, _) => Ok(None),
            (status, _) => Err(self.refused(status)),
        }
    }

    /// The app's log as it grows: its newest `count` lines or those after the line `after`, and all later ones.
    ///
    /// # Errors
    ///
    /// [`LoggerClientError`] if the log could not be opened; its later end is the end of the body.
    pub async fn follow(
        &self,
        app: &AppName,
        count: Option<u64>,
        after: Option<u64>,
    ) -> Result<Incoming, LoggerClientError> {
        let after = after.map(|after| format!("&after={after}")).unwrap_or_default();
        let path = format!("/logs/{app}/follow?log_lines={}{after}", count.unwrap_or(LINES_DEFAULT));
        let request = self.request(Method::GET, &path, Bytes::new())?;
        let answer = tokio::time::timeout(ANSWER_MAX, self.http.request(request)).await;
        let answer = answer.map_err(|late| self.unreachable(late))?;
        let answer = answer.map_err(|error| self.unreachable(error))?;
        match answer.status() {
            StatusCode::OK => Ok(answer.into_body()),
            status => Err(self.refused(status)),
        }
    }

    /// Drops the lines of an app that is gone.
    ///
    /// # Errors
    ///
    /// [`LoggerClientError`] if they may still be there.
    pub async fn forget(&self, app: &AppName) -> Result<(), LoggerClientError> {
        match self.exchange(Method::DELETE, &format!("/logs/{app}"), Bytes::new()).await? {
            (status, _) if status.is_success() => Ok(()),
            (status, _) => Err(self.refused(status)),
        }
    }

    /// Sends a batch until it has arrived; the logger then has it on disk.
    pub(crate) async fn send(&self, batch: &LineBatch) {
        let lines = Bytes::copy_from_slice(batch.bytes());
        let wait = |error: &LoggerClientError, pause| {
            if pause == RETRY_FIRST {
                tracing::warn!(error = error as &dyn std::error::Error, "lines wait for the logger");
            }
        };
        // An error is impossible: the attempts have no end.
        let _ = (|| self.send_once(lines.clone())).retry(SENDING).notify(wait).await;
    }

    async fn send_once(&self, lines: Bytes) -> Result<(), LoggerClientError> {
        match self.exchange(Method::POST, "/lines", lines).await? {
            (status, _) if status.is_success() => Ok(()),
            (StatusCode::INSUFFICIENT_STORAGE, _) => Err(LoggerClientError::Full { url: self.url.clone() }),
            (status, _) => Err(self.refused(status)),
        }
    }

    /// One request and its answer, read to its end.
    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), LoggerClientError> {
        let request = self.request(method, path, body)?;
        let exchange = async {
            let answer = self.http.request(request).await.map_err(|error| self.unreachable(error))?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
            Ok((status, body.map_err(|error| self.unreachable(error))?.to_bytes()))
        };
        tokio::time::timeout(ANSWER_MAX, exchange).await.map_err(|late| self.unreachable(late))?
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, LoggerClientError> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.url));
        if let Some(key) = &self.key {
            request = request.header(KEY_HEADER, key);
        }
        request.body(Full::new(body)).map_err(|error| self.unreachable(error))
    }

    fn unreachable(&self, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> LoggerClientError {
        LoggerClientError::Unreachable { url: self.url.clone(), source: error.into() }
    }

    fn refused(&self, status: StatusCode) -> LoggerClientError {
        LoggerClientError::Refused { url: self.url.clone(), status }
    }
}
