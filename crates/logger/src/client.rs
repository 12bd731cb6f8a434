//! Sending lines to a logger over HTTP.

use std::time::Duration;

use bytes::Bytes;
use domain::logs::LogLine;
use http::{Method, Request, StatusCode, Uri};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use crate::{BATCH_BYTES_MAX, KEY_HEADER};

/// Longest wait for the answer to one batch.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// A batch that did not arrive. It may be sent again.
#[derive(Debug, thiserror::Error)]
pub enum LoggerClientError {
    #[error("the logger's address `{url}` is not usable: expected such as http://deis-logger.deis.svc")]
    Address { url: String },
    #[error("the logger at {url} does not answer")]
    Unreachable {
        url: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("the disk of the logger at {url} is full; free some space")]
    Full { url: String },
    #[error("the logger at {url} answered {status}; is the key that of its --lines-key-file?")]
    Refused { url: String, status: StatusCode },
}

/// A client of one logger. A clone shares its connections.
#[derive(Clone)]
pub struct LoggerClient {
    http: Client<HttpConnector, Full<Bytes>>,
    url: String,
    key: String,
}

/// Lines as they are sent, within the bound of one request.
#[derive(Default)]
pub(crate) struct LineBatch {
    bytes: Vec<u8>,
    pub(crate) lines: usize,
}

impl LoggerClient {
    /// `url` is the logger's base address; `key` allows sending lines.
    pub fn new(url: &str, key: impl Into<String>) -> Result<Self, LoggerClientError> {
        let url = url.trim_end_matches('/').to_owned();
        let usable =
            url.parse::<Uri>().is_ok_and(|uri| uri.scheme_str() == Some("http") && uri.host().is_some());
        if !usable {
            return Err(LoggerClientError::Address { url });
        }
        Ok(Self { http: Client::builder(TokioExecutor::new()).build_http(), url, key: key.into() })
    }

    /// Sends a batch once. The logger has it on disk when this returns well.
    pub(crate) async fn send(&self, batch: &LineBatch) -> Result<(), LoggerClientError> {
        let unreachable = |source| LoggerClientError::Unreachable { url: self.url.clone(), source };
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("{}/lines", self.url))
            .header(KEY_HEADER, &self.key)
            .body(Full::new(Bytes::copy_from_slice(&batch.bytes)))
            .map_err(|error| unreachable(error.into()))?;
        let answer = tokio::time::timeout(ANSWER_MAX, self.http.request(request)).await;
        let answer = answer.map_err(|late| unreachable(late.into()))?;
        let status = answer.map_err(|error| unreachable(error.into()))?.status();
        match status {
            status if status.is_success() => Ok(()),
            StatusCode::INSUFFICIENT_STORAGE => Err(LoggerClientError::Full { url: self.url.clone() }),
            status => Err(LoggerClientError::Refused { url: self.url.clone(), status }),
        }
    }
}

impl LineBatch {
    /// Adds a line; `false` where there is no room for it.
    pub(crate) fn add(&mut self, line: &LogLine) -> bool {
        let before_bytes = self.bytes.len();
        serde_json::to_writer(&mut self.bytes, line).expect("a line has no map with odd keys");
        self.bytes.push(b'\n');
        if self.bytes.len() > BATCH_BYTES_MAX && self.lines > 0 {
            self.bytes.truncate(before_bytes);
            return false;
        }
        self.lines += 1;
        true
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lines == 0
    }

    pub(crate) fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.lines = 0;
    }
}
