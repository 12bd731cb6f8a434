//! Output of a container as it comes. A stream that breaks is resumed at the same position.

use std::ops::ControlFlow;

use bytes::Bytes;
use futures_util::AsyncReadExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::LogParams;
use tokio::sync::mpsc;

use super::state::ContainerTermination;
use super::watching::PodWatch;
use engine::JobError;

const CHUNK_BYTES: usize = 32 << 10;
/// Number of times that a broken stream is resumed.
pub const TRIES_MAX: usize = 20;

/// Receiver of output.
pub enum OutputSink<'a> {
    /// To a receiver; one that is gone does not stop the job.
    Forward(&'a mpsc::Sender<Bytes>),
    Keep(&'a mut BoundedOutput),
}

impl OutputSink<'_> {
    /// Waits until the receiver takes a piece.
    pub async fn room(&mut self) -> SinkRoom<'_> {
        match self {
            Self::Forward(output) => SinkRoom::Forward(output.reserve().await.ok()),
            Self::Keep(kept) => SinkRoom::Keep(kept),
        }
    }
}

/// Takes output piece by piece.
pub trait TakesOutput: Send {
    /// Breaks when no more is wanted. A future that is dropped has taken the piece or has not.
    fn take(&mut self, piece: &[u8]) -> impl Future<Output = ControlFlow<()>> + Send;
}

impl TakesOutput for OutputSink<'_> {
    async fn take(&mut self, piece: &[u8]) -> ControlFlow<()> {
        self.room().await.put(Bytes::copy_from_slice(piece));
        ControlFlow::Continue(())
    }
}

/// Room for one piece of output.
pub enum SinkRoom<'a> {
    Forward(Option<mpsc::Permit<'a, Bytes>>),
    Keep(&'a mut BoundedOutput),
}

impl SinkRoom<'_> {
    pub fn put(self, piece: Bytes) {
        match self {
            Self::Forward(Some(permit)) if !piece.is_empty() => permit.send(piece),
            Self::Forward(_) => {}
            Self::Keep(kept) => kept.add(&piece),
        }
    }
}

/// Output up to a bound.
pub struct BoundedOutput {
    bytes: Vec<u8>,
    bytes_max: usize,
    pub is_cut: bool,
}

impl BoundedOutput {
    pub fn new(bytes_max: usize) -> Self {
        Self { bytes: Vec::new(), bytes_max, is_cut: false }
    }

    pub fn add(&mut self, chunk: &[u8]) {
        let left = self.bytes_max - self.bytes.len();
        self.bytes.extend_from_slice(&chunk[..chunk.len().min(left)]);
        self.is_cut |= chunk.len() > left;
    }

    pub fn into_text(self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

/// Follows a container that has begun until it has ended; `taker` gets its output piece by piece.
pub async fn follow(
    pods: &Api<Pod>,
    watching: &mut PodWatch,
    pod: &str,
    container: &str,
    mut taker: OutputSink<'_>,
) -> Result<ContainerTermination, JobError> {
    let mut seen_bytes = 0;
    let mut ending = None;
    for _ in 0..TRIES_MAX {
        let reading = read(pods, pod, container, ending.is_none(), &mut seen_bytes, &mut taker);
        if let Err(error) = reading.await {
            tracing::debug!(pod, container, %error, "the stream of a container's output broke");
        } else if ending.is_some() {
            break;
        }
        // The stream ends with the container, or broke; only the watch knows.
        if ending.is_none() {
            let soon =
                tokio::time::timeout(std::time::Duration::from_secs(2), watching.ended(container)).await;
            if let Ok(ended) = soon {
                ending = Some(ended?);
            }
        }
    }
    match ending {
        Some(ending) => Ok(ending),
        None => watching.ended(container).await,
    }
}

/// Reads from the beginning, leaving out what was seen already, until `taker` breaks or there is no more.
pub async fn read(
    pods: &Api<Pod>,
    pod: &str,
    container: &str,
    follows: bool,
    seen_bytes: &mut u64,
    taker: &mut impl TakesOutput,
) -> Result<ControlFlow<()>, kube::Error> {
    let params = LogParams { container: Some(container.to_owned()), follow: follows, ..LogParams::default() };
    let mut stream = std::pin::pin!(pods.log_stream(pod, &params).await?);
    let mut skip_bytes = *seen_bytes;
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let count = stream.read(&mut chunk).await.map_err(|error| kube::Error::Service(error.into()))?;
        if count == 0 {
            return Ok(ControlFlow::Continue(()));
        }
        let skipped = usize::try_from(skip_bytes).unwrap_or(usize::MAX).min(count);
        skip_bytes -= skipped as u64;
        if skipped < count {
            let flow = taker.take(&chunk[skipped..count]).await;
            *seen_bytes += (count - skipped) as u64;
            if flow.is_break() {
                return Ok(flow);
            }
        }
    }
}
