//! An interactive command on the platform: `run -it`, `ps:exec`.
//!
//! Input is sent as it is typed, output is shown as it comes, and the client exits with the command's exit code.

mod raw;

use std::io::{IsTerminal as _, Read as _, Write};
use std::thread;
use std::time::Duration;

use api::client::{Client, ClientError, Terminal, TerminalReceiver, TerminalSender};
use api::terminal::{End, Frame, PING_SECONDS, Start};
use api::visible::{Color, VisiblePieces};
use clap::Arg;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::interval;

use crate::command::{Matches, flag};
use crate::failure::{CommandResult, Failure};
use crate::terminal;
use raw::{Raw, Resized};

pub fn interactive() -> Arg {
    flag(Some('i'), "interactive", "pass on what is typed or piped in")
}

pub fn tty() -> Arg {
    flag(Some('t'), "tty", "give the command a terminal; best together with -i")
}

/// Bytes that are read at once, and pieces that wait to be sent.
const PIECE_BYTES_MAX: usize = 16 << 10;
const WAITING_MAX: usize = 8;
/// As a shell reports a process that SIGPIPE ended.
const READER_GONE: u8 = 141;

/// Connection between user and command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mode {
    pub has_terminal: bool,
    pub takes_input: bool,
    /// Handling of colors where the command has no terminal.
    pub color: Color,
}

impl Mode {
    pub fn of(matches: &Matches) -> Self {
        let has_terminal = matches.has("tty");
        let takes_input = has_terminal || matches.has("interactive");
        Self { has_terminal, takes_input, color: terminal::color_of(matches) }
    }

    /// Returns true for a command without input and terminal.
    pub fn is_plain(self) -> bool {
        !self.takes_input
    }
}

/// Target of a session.
pub enum TerminalTarget<'a> {
    OneOff { app: &'a str },
    Pod { app: &'a str, process_type: &'a str, pod: &'a str },
}

/// Runs the command to its end.
pub fn run(client: &Client, place: &TerminalTarget<'_>, command: String, mode: Mode) -> CommandResult {
    if mode.has_terminal && !terminal::stdin_is_terminal() {
        return Err(Failure::new("stdin is no terminal; leave out -t, or use -i alone to pipe something in"));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(format!("cannot start: {error}")))?;
    let end = runtime.block_on(async {
        let opened = open(client, place).await.map_err(too_old)?;
        converse(opened, command, mode).await
    });
    // A write that waits for its reader must not be waited for.
    runtime.shutdown_background();
    match end? {
        End { exit_code: Some(0), .. } => Ok(()),
        // A code that no exit code can hold still is a failure.
        End { exit_code: Some(code), .. } => Err(Failure::Exit(u8::try_from(code).unwrap_or(1))),
        End { error, .. } => Err(Failure::new(error.unwrap_or_else(|| "the session ended".to_owned()))),
    }
}

async fn open(client: &Client, place: &TerminalTarget<'_>) -> Result<Terminal, ClientError> {
    match place {
        TerminalTarget::OneOff { app } => client.run_in_terminal(app).await,
        TerminalTarget::Pod { app, process_type, pod } => client.exec(app, process_type, pod).await,
    }
}

/// An older platform has no such URL, which it says with a page.
fn too_old(error: ClientError) -> Failure {
    match &error {
        ClientError::Status { status: 404, body } if body.starts_with('<') => {
            Failure::new("this platform has no sessions, it is older than this client")
        }
        _ => error.into(),
    }
}

async fn converse(opened: Terminal, command: String, mode: Mode) -> CommandResult<End> {
    let (mut sender, receiver) = opened.split();
    let terminal = mode.has_terminal.then(raw::size);
    let term = std::env::var("TERM").unwrap_or_default();
    sender.send(&Frame::Start(Start { command, terminal, term })).await?;
    // From here on the terminal is restored on every return.
    let _raw = if mode.has_terminal { Some(Raw::enter()?) } else { None };
    tokio::select! {
        end = show(receiver, mode) => end,
        failure = type_in(sender, mode) => Err(failure),
        code = raw::ended_by_signal() => Err(Failure::Exit(code)),
    }
}

/// Shows what the command says, up to its end.
async fn show(mut receiver: TerminalReceiver, mode: Mode) -> CommandResult<End> {
    let mut shown = OutputView::new(mode);
    while let Some(frame) = receiver.next().await? {
        if let Frame::End(end) = frame {
            return Ok(end);
        }
        // In a task of its own, as writing may block while the server expects pings.
        let frame = shown.passed_on(frame);
        let written = spawn_blocking(move || match frame {
            Frame::Stdout(bytes) => write(&mut std::io::stdout().lock(), &bytes),
            Frame::Stderr(bytes) => write(&mut std::io::stderr().lock(), &bytes),
            _ => Ok(()),
        });
        if !matches!(written.await, Ok(Ok(()))) {
            return Err(Failure::Exit(READER_GONE));
        }
    }
    Err(Failure::new("the connection to the controller broke, which ended the command"))
}

/// Output of a command on its way to the user. With `-t` the command controls the user's terminal. Otherwise
/// control characters are written out before they reach a terminal.
struct OutputView {
    stdout: Option<VisiblePieces>,
    stderr: Option<VisiblePieces>,
    color: Color,
}

impl OutputView {
    fn new(mode: Mode) -> Self {
        let guarded = |is_terminal: bool| (is_terminal && !mode.has_terminal).then(VisiblePieces::default);
        let stdout = guarded(terminal::stdout_is_terminal());
        Self { stdout, stderr: guarded(std::io::stderr().is_terminal()), color: mode.color }
    }

    fn passed_on(&mut self, frame: Frame) -> Frame {
        match (frame, &mut self.stdout, &mut self.stderr) {
            (Frame::Stdout(bytes), Some(pieces), _) => {
                Frame::Stdout(pieces.add(&bytes, self.color).into_bytes())
            }
            (Frame::Stderr(bytes), _, Some(pieces)) => {
                Frame::Stderr(pieces.add(&bytes, self.color).into_bytes())
            }
            (frame, ..) => frame,
        }
    }
}

fn write(to: &mut impl Write, bytes: &[u8]) -> std::io::Result<()> {
    to.write_all(bytes)?;
    to.flush()
}

/// Sends input and the size of the terminal; returns only on a failure.
async fn type_in(mut sender: TerminalSender, mode: Mode) -> Failure {
    let mut typed = typed(mode.takes_input);
    let mut resized = Resized::new(mode.has_terminal);
    let mut pings = interval(Duration::from_secs(PING_SECONDS));
    loop {
        let frame = tokio::select! {
            _ = pings.tick() => None,
            bytes = typed.recv() => match bytes {
                Some(bytes) if bytes.is_empty() => Some(Frame::EndOfInput),
                Some(bytes) => Some(Frame::Stdin(bytes)),
                // The end of the input was sent.
                None => std::future::pending().await,
            },
            size = resized.next() => Some(Frame::Resize(size)),
        };
        let sent = match frame {
            Some(frame) => sender.send(&frame).await,
            None => sender.ping().await,
        };
        if sent.is_err() {
            // The receiving half has the reason.
            return std::future::pending().await;
        }
    }
}

/// Reads stdin on a thread of its own, which may still wait for it when the client ends. The last piece is
/// empty.
fn typed(takes_input: bool) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    thread::spawn(move || {
        let mut stdin = std::io::stdin().lock();
        let mut piece = vec![0; PIECE_BYTES_MAX];
        while takes_input && let Ok(length @ 1..) = stdin.read(&mut piece) {
            if sender.blocking_send(piece[..length].to_vec()).is_err() {
                return;
            }
        }
        _ = sender.blocking_send(Vec::new());
    });
    receiver
}
