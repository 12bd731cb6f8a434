//! One SSH channel and the git process behind it.
//!
//! A client that disconnects ends the input, but git's output is still read: unread output would block git in the
//! middle of a push that continues.

use std::future::pending;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use russh::server::Msg;
use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::ChildStdin;
use tokio_util::sync::CancellationToken;

use crate::limits::{GitCommand, GitProcess, ticks_of_group};

/// The stream number of standard error (RFC 4254, 5.2).
const STDERR: u32 = 1;
const PIECE_BYTES: usize = 32 << 10;
/// Bytes of git's last words that are kept.
const LAST_WORDS_BYTES: usize = 4 << 10;
/// Longest silence of a client that git still reads from. Before it sends anything it may compress for a while.
const SILENCE_MAX: Duration = Duration::from_secs(180);

/// A channel on which a command is served.
pub(crate) struct SshChannel {
    reader: ChannelReadHalf,
    writer: ChannelWriteHalf<Msg>,
    /// Set when nobody reads any more.
    pub gone: CancellationToken,
    /// The last that git said on both streams.
    last_words: OutputTail,
    meter: Arc<Meter>,
}

/// Bytes that a client has sent, and the process group that reads them.
#[derive(Default)]
pub(crate) struct Meter {
    bytes: AtomicU64,
    group: AtomicI32,
}

impl Meter {
    /// Bytes that have come so far, and clock ticks that git has spent.
    pub(crate) fn reading(&self) -> (u64, u64) {
        (self.bytes.load(Ordering::Relaxed), ticks_of_group(self.group.load(Ordering::Relaxed)))
    }
}

/// The end of what a process says.
#[derive(Default)]
pub(crate) struct OutputTail(Mutex<Vec<u8>>);

impl OutputTail {
    fn add(&self, bytes: &[u8]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend_from_slice(&bytes[bytes.len().saturating_sub(LAST_WORDS_BYTES)..]);
        let over = kept.len().saturating_sub(LAST_WORDS_BYTES);
        kept.drain(..over);
    }
}

impl SshChannel {
    /// `session_gone` ends with the connection that the channel belongs to.
    pub(crate) fn new(channel: Channel<Msg>, session_gone: &CancellationToken) -> Self {
        let (reader, writer) = channel.split();
        Self {
            reader,
            writer,
            gone: session_gone.child_token(),
            last_words: OutputTail::default(),
            meter: Arc::default(),
        }
    }

    pub(crate) fn meter(&self) -> Arc<Meter> {
        Arc::clone(&self.meter)
    }

    /// The last that git said, on both streams.
    pub(crate) fn last_words(&self) -> Vec<u8> {
        self.last_words.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends bytes on standard output.
    pub(crate) async fn send(&self, bytes: impl Into<Bytes>) {
        send(&self.writer, None, bytes.into(), &self.gone).await;
    }

    /// Sends a line on standard error.
    pub(crate) async fn complain(&self, text: &str) {
        send(&self.writer, Some(STDERR), Bytes::from(format!("{text}\n")), &self.gone).await;
    }

    /// Refuses in git's own protocol: the client shows `fatal: remote error: <text>` and ends with 128.
    pub(crate) async fn refuse(&self, text: &str) {
        self.send(error_line(text)).await;
    }

    /// Ends the command.
    pub(crate) async fn end(self, status: u32) {
        let goodbye = async {
            let _ = self.writer.exit_status(status).await;
            let _ = self.writer.eof().await;
            let _ = self.writer.close().await;
        };
        tokio::select! {
            () = goodbye => {}
            () = self.gone.cancelled() => {}
        }
    }

    /// Starts `command` and connects it with the channel until it ends. `input_done` is set once it has read all
    /// that it will ever read.
    pub(crate) async fn serve(
        &mut self,
        mut git: GitCommand,
        input_done: &CancellationToken,
    ) -> std::io::Result<ExitStatus> {
        git.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = git.start()?;
        let stdin = process.stdin();
        let Self { reader, writer, gone, last_words, meter } = self;
        meter.group.store(process.group().unwrap_or(0), Ordering::Relaxed);
        let input = async {
            feed(reader, stdin, gone, (input_done, meter)).await;
            // Only the end of the process ends the command.
            pending().await
        };
        tokio::select! {
            status = finish(&mut process, writer, gone, last_words) => status,
            status = input => status,
        }
    }
}

/// Passes the output on, then waits for the end.
async fn finish(
    process: &mut GitProcess,
    writer: &ChannelWriteHalf<Msg>,
    gone: &CancellationToken,
    last_words: &OutputTail,
) -> std::io::Result<ExitStatus> {
    let (stdout, stderr) = (process.stdout(), process.stderr());
    tokio::join!(
        copy(stdout, writer, None, gone, last_words),
        copy(stderr, writer, Some(STDERR), gone, last_words)
    );
    process.wait().await
}

/// Passes the input on until the client ends it or is silent for too long; what comes after `done` is dropped.
async fn feed(
    reader: &mut ChannelReadHalf,
    mut stdin: Option<ChildStdin>,
    gone: &CancellationToken,
    (done, meter): (&CancellationToken, &Meter),
) {
    loop {
        let message = tokio::select! {
            message = reader.wait() => message,
            () = done.cancelled(), if stdin.is_some() => { stdin = None; continue }
            // Git sees the end of its input and gives up.
            () = tokio::time::sleep(SILENCE_MAX), if stdin.is_some() => { stdin = None; continue }
        };
        match message {
            Some(ChannelMsg::Data { data }) => {
                meter.bytes.fetch_add(data.len() as u64, Ordering::Relaxed);
                if let Some(pipe) = &mut stdin {
                    let written = tokio::select! {
                        written = pipe.write_all(&data) => written.is_ok(),
                        () = done.cancelled() => false,
                    };
                    stdin = stdin.filter(|_| written);
                }
            }
            Some(ChannelMsg::Eof) => stdin = None,
            Some(ChannelMsg::Close) | None => return gone.cancel(),
            Some(_) => {}
        }
    }
}

async fn copy(
    from: Option<impl AsyncRead + Unpin>,
    writer: &ChannelWriteHalf<Msg>,
    stream: Option<u32>,
    gone: &CancellationToken,
    last_words: &OutputTail,
) {
    let Some(mut from) = from else { return };
    let mut piece = BytesMut::new();
    loop {
        piece.reserve(PIECE_BYTES);
        match from.read_buf(&mut piece).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {
                last_words.add(&piece);
                send(writer, stream, piece.split().freeze(), gone).await;
            }
        }
    }
}

async fn send(writer: &ChannelWriteHalf<Msg>, stream: Option<u32>, bytes: Bytes, gone: &CancellationToken) {
    let sending = async {
        match stream {
            None => writer.data_bytes(bytes).await,
            Some(stream) => writer.extended_data_bytes(stream, bytes).await,
        }
    };
    tokio::select! {
        biased;
        () = gone.cancelled() => {}
        sent = sending => if sent.is_err() { gone.cancel() }
    }
}

/// A pkt-line: four hex digits of length, then the text.
fn error_line(text: &str) -> String {
    let payload = format!("ERR {text}\n");
    format!("{:04x}{payload}", payload.len() + 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_git_says_the_end_is_kept() {
        let said = OutputTail::default();
        said.add(&vec![b'x'; 3 * LAST_WORDS_BYTES]);
        said.add(b"fatal: Out of memory");

        let kept = said.0.lock().unwrap();
        assert!(kept.len() == LAST_WORDS_BYTES && kept.ends_with(b"xfatal: Out of memory"));
    }

    #[test]
    fn a_refusal_is_a_pkt_line_with_its_own_length() {
        assert_eq!(error_line("Another git push is ongoing"), "0024ERR Another git push is ongoing\n");
    }
}
