//! Sends the source into the pod, to the standard input of its first step, as soon as that runs: it is asked, since the
//! pod's status tells so up to a second later.

use std::io;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{AttachParams, AttachedProcess};
use kube::{Api, Error};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::failure::{job_error, refused};
use super::step_output::OutputEnd;
use engine::build_steps::{PROBE, READY, SOURCE_BEGIN, SOURCE_END};
use engine::{JobError, SourceStream};

const CHUNK_BYTES: usize = 64 << 10;
/// Bytes read of the output of the step, which prints little.
const SAID_BYTES_MAX: u64 = 256 << 10;
/// Pause between tries to reach a container that does not run yet.
const RETRY_AFTER: Duration = Duration::from_millis(50);
/// Longest wait for the answer to a probe: output that comes before the node has attached everything is lost.
const READY_WITHIN: Duration = Duration::from_millis(500);
const FORBIDDEN: u16 = 403;

/// Sends the source and its end marker. Gives back what the step said if it has succeeded; `None` if its exit will tell
/// the reason. Tries until the container runs: the caller watches the pod.
pub async fn send(
    pods: &Api<Pod>,
    pod: &str,
    container: &str,
    source: SourceStream,
) -> Result<Option<String>, JobError> {
    let mut step = loop {
        match connected(pods, pod, container).await {
            Ok(Some(step)) => break step,
            Err(error @ Error::Api(_)) if is_forbidden(&error) => {
                return Err(job_error("send the source", error));
            }
            Ok(None) => {}
            Err(error) => tracing::debug!(pod, %error, "cannot reach the step that takes the source"),
        }
        tokio::time::sleep(RETRY_AFTER).await;
    };
    match step.send(source).await {
        // A step that stops reading is not the cause: its exit is.
        Err((_, error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(None),
        Err((what, error)) => Err(refused(format!("{what}: {error}"))),
        Ok(()) => Ok(step.said().await),
    }
}

fn is_forbidden(error: &Error) -> bool {
    matches!(error, Error::Api(status) if status.code == FORBIDDEN)
}

/// A running step that reads its standard input.
struct ConnectedStep<I, O> {
    input: I,
    output: O,
    /// Dropping it ends the connection.
    _attached: AttachedProcess,
}

/// Attaches to the step and waits for its answer; `None` if it does not run.
async fn connected(
    pods: &Api<Pod>,
    pod: &str,
    container: &str,
) -> Result<Option<ConnectedStep<impl AsyncWrite + Unpin, impl AsyncRead + Unpin>>, Error> {
    let params = AttachParams::default().container(container).stdin(true).stdout(true).stderr(false);
    let mut attached = pods.attach(pod, &params.max_stdin_buf_size(CHUNK_BYTES)).await?;
    let (Some(mut input), Some(mut output)) = (attached.stdin(), attached.stdout()) else {
        return Ok(None);
    };
    let mut answer = Vec::new();
    let mut chunk = [0; 64];
    while answer.len() < READY.len() {
        if input.write_all(&[PROBE]).await.is_err() {
            return Ok(None);
        }
        match tokio::time::timeout(READY_WITHIN, output.read(&mut chunk)).await {
            Ok(Ok(0) | Err(_)) => return Ok(None),
            Ok(Ok(count)) => answer.extend_from_slice(&chunk[..count]),
            Err(_) => {}
        }
    }
    Ok(Some(ConnectedStep { input, output, _attached: attached }))
}

impl<I: AsyncWrite + Unpin, O: AsyncRead + Unpin> ConnectedStep<I, O> {
    async fn send(&mut self, mut source: SourceStream) -> Result<(), (&'static str, io::Error)> {
        let sending = |error| ("send the source", error);
        self.input.write_all(&[SOURCE_BEGIN]).await.map_err(sending)?;
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let count = source.read(&mut chunk).await.map_err(|error| ("read the source", error))?;
            if count == 0 {
                break;
            }
            self.input.write_all(&chunk[..count]).await.map_err(sending)?;
        }
        self.input.write_all(SOURCE_END).await.map_err(sending)?;
        self.input.shutdown().await.map_err(sending)
    }

    /// All that it says until its end, if it succeeds.
    async fn said(self) -> Option<String> {
        let mut said = Vec::new();
        self.output.take(SAID_BYTES_MAX).read_to_end(&mut said).await.ok()?;
        let mut end = OutputEnd::default();
        let shown = end.take(&said);
        let answers = std::str::from_utf8(READY).unwrap_or_default();
        (end.count() > 0).then(|| String::from_utf8_lossy(&shown).replace(answers, ""))
    }
}
