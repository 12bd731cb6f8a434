//! An interactive process: its input and its output, as they come.
//!
//! Everything is bounded: a client that does not read delays the process, not the platform.

use bytes::Bytes;
use domain::AppName;
use domain::terminal::TerminalSize;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::JobError;
use crate::job::within;

/// Pieces that wait in either direction.
const WAITING_MAX: usize = 32;
/// Most bytes of one piece.
pub const PIECE_BYTES_MAX: usize = 16 << 10;
/// Input of a terminal for the end of the input.
pub const END_OF_INPUT: &[u8] = b"\x04";

/// A command to run inside a pod.
#[derive(Debug, Clone, PartialEq)]
pub struct PodCommand {
    pub app: AppName,
    /// The pod's whole name.
    pub pod: String,
    pub command: Vec<String>,
    /// Kind of terminal, as in `TERM`.
    pub term: String,
    pub deadline_seconds: u32,
}

/// Input for the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    Bytes(Bytes),
    /// End of the input.
    End,
    /// New size of the terminal.
    Resize(TerminalSize),
}

/// Output of the process.
#[derive(Debug)]
pub enum Output {
    /// Output to stdout; with a terminal, all output.
    Stdout(Bytes),
    /// Output to stderr of a process without a terminal.
    Stderr(Bytes),
    /// The exit code, or the error that left none. Nothing comes after it.
    Ended(Result<i64, JobError>),
}

/// A running session. Dropping it ends the process and removes its objects.
pub struct Session {
    pub input: mpsc::Sender<Input>,
    pub output: mpsc::Receiver<Output>,
    _end: DropGuard,
}

/// The engine's ends of a session.
pub struct SessionChannels {
    pub input: mpsc::Receiver<Input>,
    pub output: mpsc::Sender<Output>,
}

impl Session {
    /// Runs what `make` makes of the engine's ends, up to the deadline; its end is the session's.
    pub fn begin<F>(deadline_seconds: u32, make: impl FnOnce(SessionChannels) -> F) -> Self
    where
        F: Future<Output = Result<i64, JobError>> + Send + 'static,
    {
        let (input, typed) = mpsc::channel(WAITING_MAX);
        let (said, output) = mpsc::channel(WAITING_MAX);
        let stop = CancellationToken::new();
        let work = within(deadline_seconds, make(SessionChannels { input: typed, output: said.clone() }));
        let stopped = stop.clone();
        tokio::spawn(async move {
            if let Some(ended) = stopped.run_until_cancelled(work).await {
                // Nobody listens any more where this fails.
                _ = said.send(Output::Ended(ended)).await;
            }
        });
        Self { input, output, _end: stop.drop_guard() }
    }
}
