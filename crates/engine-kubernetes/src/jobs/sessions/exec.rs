//! A command inside a container: input, output, and exit code.

use bytes::BytesMut;
use domain::terminal::TerminalSize;
use futures_util::SinkExt as _;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::Api;
use kube::api::{AttachParams, AttachedProcess, TerminalSize as KubernetesSize};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;

use super::super::failure::{job_error, refused};
use engine::session::{END_OF_INPUT, PIECE_BYTES_MAX, SessionChannels};
use engine::{Input, JobError, Output};

pub struct ExecCommand<'a> {
    pub pods: &'a Api<Pod>,
    pub pod: &'a str,
    pub container: &'a str,
    pub words: Vec<String>,
    pub terminal: Option<TerminalSize>,
}

impl ExecCommand<'_> {
    /// Runs it to its end. Where this is dropped, the connection is cut.
    pub async fn run(self, ends: &mut SessionChannels) -> Result<i64, JobError> {
        let Self { pods, pod, container, words, terminal } = self;
        let params = AttachParams::default()
            .container(container)
            .stdin(true)
            .stdout(true)
            .stderr(terminal.is_none())
            .tty(terminal.is_some())
            .max_stdin_buf_size(PIECE_BYTES_MAX)
            .max_stdout_buf_size(PIECE_BYTES_MAX)
            .max_stderr_buf_size(PIECE_BYTES_MAX);
        let process = pods.exec(pod, words, &params).await;
        let mut process = process.map_err(|error| job_error("start the command", error))?;
        let status = process.take_status();
        let SessionChannels { input, output } = ends;
        let (stdout, stderr) = (process.stdout(), process.stderr());
        let saying = async {
            tokio::join!(forward(stdout, Output::Stdout, output), forward(stderr, Output::Stderr, output));
        };
        tokio::select! {
            () = saying => {}
            never = type_in(&mut process, terminal, input) => never,
        }
        let status = match status {
            Some(status) => status.await,
            None => None,
        };
        exit_code(status.ok_or_else(|| refused("the connection to the process broke"))?)
    }
}

/// Forwards the output to its end.
async fn forward<R: AsyncRead + Unpin>(
    stream: Option<R>,
    piece_of: impl Fn(bytes::Bytes) -> Output,
    output: &mpsc::Sender<Output>,
) {
    let Some(mut stream) = stream else { return };
    loop {
        let mut piece = BytesMut::with_capacity(PIECE_BYTES_MAX);
        match stream.read_buf(&mut piece).await {
            Ok(0) | Err(_) => return,
            Ok(_) => _ = output.send(piece_of(piece.freeze())).await,
        }
    }
}

/// Forwards the input, forever.
async fn type_in<T>(
    process: &mut AttachedProcess,
    terminal: Option<TerminalSize>,
    input: &mut mpsc::Receiver<Input>,
) -> T {
    let mut stdin = process.stdin();
    let mut sizes = process.terminal_size();
    let resize = |TerminalSize { columns, rows }| KubernetesSize { width: columns, height: rows };
    if let (Some(sizes), Some(size)) = (&mut sizes, terminal) {
        _ = sizes.send(resize(size)).await;
    }
    while let Some(input) = input.recv().await {
        // A process that reads no more may still have something to say.
        match (input, &mut stdin) {
            (Input::Bytes(bytes), Some(stdin)) => _ = stdin.write_all(&bytes).await,
            (Input::End, Some(stdin)) if terminal.is_some() => _ = stdin.write_all(END_OF_INPUT).await,
            (Input::End, Some(open)) => {
                _ = open.shutdown().await;
                stdin = None;
            }
            (Input::Resize(size), _) => {
                if let Some(sizes) = &mut sizes {
                    _ = sizes.send(resize(size)).await;
                }
            }
            (_, None) => {}
        }
    }
    std::future::pending().await
}

/// The exit code in Kubernetes' status message.
fn exit_code(status: Status) -> Result<i64, JobError> {
    let Status { status, reason, message, details, .. } = status;
    if status.as_deref() == Some("Success") {
        return Ok(0);
    }
    let causes = details.and_then(|details| details.causes).unwrap_or_default();
    let code = causes.into_iter().find(|cause| cause.reason.as_deref() == Some("ExitCode"));
    let code = code.and_then(|cause| cause.message).and_then(|code| code.parse().ok());
    match (reason.as_deref(), code) {
        (Some("NonZeroExitCode"), Some(code)) => Ok(code),
        _ => Err(refused(message.unwrap_or_else(|| "the command could not be run".to_owned()))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn code_of(status: serde_json::Value) -> Result<i64, String> {
        exit_code(serde_json::from_value(status).expect("a status")).map_err(|error| error.to_string())
    }

    #[test]
    fn exit_codes_are_read_from_the_status() {
        let failed = json!({ "status": "Failure", "reason": "NonZeroExitCode", "message": "command terminated",
            "details": { "causes": [{ "reason": "ExitCode", "message": "7" }] } });
        let broken =
            json!({ "status": "Failure", "reason": "InternalError", "message": "no such container" });

        assert_eq!(code_of(json!({ "status": "Success" })), Ok(0));
        assert_eq!(code_of(failed), Ok(7));
        assert_eq!(code_of(broken), Err("no such container".to_owned()));
    }
}
