//! A process that somebody sits in front of: what is typed goes in, what it says comes out as it says it.
//!
//! Everything is bounded: who does not read holds up the process, not the platform.

use bytes::Bytes;
use domain::AppName;
use domain::terminal::TerminalSize;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::JobError;
use crate::job::within;

/// Pieces that wait on their way in or out.
const WAITING_MAX: usize = 32;
/// Most bytes of one piece.
pub(crate) const PIECE_BYTES_MAX: usize = 16 << 10;
/// What a terminal sends at the end of the input.
pub(crate) const END_OF_INPUT: &[u8] = b"\x04";

/// A command to run inside a pod.
#[derive(Debug, Clone, PartialEq)]
pub struct Inside {
    pub app: AppName,
    /// The pod's whole name.
    pub pod: String,
    pub command: Vec<String>,
    /// Kind of terminal, as in `TERM`.
    pub term: String,
    pub deadline_seconds: u32,
}

/// What goes to the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    Bytes(Bytes),
    /// Nothing more will be typed.
    End,
    /// The terminal has another size now.
    Resize(TerminalSize),
}

/// What comes from the process.
#[derive(Debug)]
pub enum Output {
    /// With a terminal, both streams.
    Stdout(Bytes),
    Stderr(Bytes),
    /// The exit code, or why there is none. Nothing comes after it.
    Ended(Result<i64, JobError>),
}

/// A running session. Dropping it ends the process and removes what it left.
pub struct Session {
    pub input: mpsc::Sender<Input>,
    pub output: mpsc::Receiver<Output>,
    _end: DropGuard,
}

/// The engine's ends of a session.
pub(crate) struct Ends {
    pub input: mpsc::Receiver<Input>,
    pub output: mpsc::Sender<Output>,
}

impl Session {
    /// Runs what `make` makes of the engine's ends, up to the deadline; its end is the session's.
    pub(crate) fn begin<F>(deadline_seconds: u32, make: impl FnOnce(Ends) -> F) -> Self
    where
        F: Future<Output = Result<i64, JobError>> + Send + 'static,
    {
        let (input, typed) = mpsc::channel(WAITING_MAX);
        let (said, output) = mpsc::channel(WAITING_MAX);
        let stop = CancellationToken::new();
        let work = within(deadline_seconds, make(Ends { input: typed, output: said.clone() }));
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
