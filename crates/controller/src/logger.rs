//! The logger as the API asks it: the kept lines of one app (docs/spec/components.md 7.3).

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable as _};
use bytes::Bytes;
use domain::AppName;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use crate::Secret;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Header that carries the logger's key.
const KEY_HEADER: &str = "X-Deis-Logger-Auth";
/// Lines that are asked for where the user names no number.
const LINES_DEFAULT: u64 = 100;
/// Largest answer that is relayed; the logger keeps less than this for an app.
const ANSWER_BYTES_MAX: usize = 32 << 20;
/// Pauses between requests to the logger before it counts as unreachable.
const RETRIES: ExponentialBuilder =
    ExponentialBuilder::new().with_min_delay(Duration::from_millis(100)).with_max_times(2);
/// Longest wait for one answer.
const ANSWER_MAX: Duration = Duration::from_secs(20);

/// A client of one logger. A clone shares its connections.
#[derive(Clone)]
pub struct Logger {
    http: Client<HttpConnector, Empty<Bytes>>,
    url: String,
    key: Option<Secret>,
}

impl Logger {
    /// `url` is the logger's base address, such as `http://127.0.0.1:8088`.
    pub fn new(url: &str, key: Option<Secret>) -> Self {
        let http = Client::builder(TokioExecutor::new()).build_http();
        Self { http, url: url.trim_end_matches('/').to_owned(), key }
    }

    /// The newest lines of the app, one entry a line; `None` where there are none.
    pub async fn lines(&self, app: &AppName, count: Option<u64>) -> Result<Option<Bytes>, Error> {
        let count = count.unwrap_or(LINES_DEFAULT);
        let path = format!("/logs/{app}?log_lines={count}");
        let (status, body) = self.ask_until_answered(&Method::GET, &path).await?;
        match status {
            StatusCode::OK => Ok(Some(body)),
            StatusCode::NO_CONTENT | StatusCode::NOT_FOUND => Ok(None),
            other => Err(format!("logger answered {other}").into()),
        }
    }

    /// The app's log as it grows: its newest `count` lines or those after the line `after`, and all later ones.
    pub async fn follow(
        &self,
        app: &AppName,
        count: Option<u64>,
        after: Option<u64>,
    ) -> Result<Incoming, Error> {
        let after = after.map(|after| format!("&after={after}")).unwrap_or_default();
        let count = count.unwrap_or(LINES_DEFAULT);
        let request = self.request(&Method::GET, &format!("/logs/{app}/follow?log_lines={count}{after}"))?;
        let answer = tokio::time::timeout(ANSWER_MAX, self.http.request(request)).await??;
        match answer.status() {
            StatusCode::OK => Ok(answer.into_body()),
            other => Err(format!("logger answered {other}").into()),
        }
    }

    /// Drops the lines of an app that is gone.
    pub async fn forget(&self, app: &AppName) -> Result<(), Error> {
        self.ask(&Method::DELETE, &format!("/logs/{app}")).await?;
        Ok(())
    }

    async fn ask_until_answered(&self, method: &Method, path: &str) -> Result<(StatusCode, Bytes), Error> {
        let unreachable = |error: &Error, _| {
            tracing::debug!(error = &**error as &dyn std::error::Error, "logger is unreachable");
        };
        (|| self.ask(method, path)).retry(RETRIES).notify(unreachable).await
    }

    async fn ask(&self, method: &Method, path: &str) -> Result<(StatusCode, Bytes), Error> {
        let request = self.request(method, path)?;
        let exchange = async {
            let answer = self.http.request(request).await?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await?;
            Ok((status, body.to_bytes()))
        };
        tokio::time::timeout(ANSWER_MAX, exchange).await?
    }

    fn request(&self, method: &Method, path: &str) -> Result<Request<Empty<Bytes>>, http::Error> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.url));
        if let Some(key) = &self.key {
            request = request.header(KEY_HEADER, key.expose());
        }
        request.body(Empty::new())
    }
}
