//! One SSH channel and the git process behind it.
//!
//! A client who goes away ends the input, never the reading of git's output: what is not read would
//! stop git in the middle of a push that goes on without them.

use std::future::pending;
use std::process::{ExitStatus, Stdio};

use bytes::{Bytes, BytesMut};
use russh::server::Msg;
use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin, Command};
use tokio_util::sync::CancellationToken;

/// The stream number of standard error (RFC 4254, 5.2).
const STDERR: u32 = 1;
const PIECE_BYTES: usize = 32 << 10;

/// A channel on which a command is served.
pub(crate) struct Wire {
    reader: ChannelReadHalf,
    writer: ChannelWriteHalf<Msg>,
    /// Set when nobody reads any more.
    pub gone: CancellationToken,
}

impl Wire {
    /// `session_gone` ends with the connection that the channel belongs to.
    pub(crate) fn new(channel: Channel<Msg>, session_gone: &CancellationToken) -> Self {
        let (reader, writer) = channel.split();
        Self { reader, writer, gone: session_gone.child_token() }
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
        mut command: Command,
        input_done: &CancellationToken,
    ) -> std::io::Result<ExitStatus> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let stdin = child.stdin.take();
        let Self { reader, writer, gone } = self;
        let input = async {
            feed(reader, stdin, gone, input_done).await;
            // Only the end of the process ends the command.
            pending().await
        };
        tokio::select! {
            status = finish(&mut child, writer, gone) => status,
            status = input => status,
        }
    }
}

/// Passes the output on, then waits for the end.
async fn finish(
    child: &mut Child,
    writer: &ChannelWriteHalf<Msg>,
    gone: &CancellationToken,
) -> std::io::Result<ExitStatus> {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    tokio::join!(copy(stdout, writer, None, gone), copy(stderr, writer, Some(STDERR), gone));
    child.wait().await
}

/// Passes the input on until the client ends it; what comes after `done` is dropped.
async fn feed(
    reader: &mut ChannelReadHalf,
    mut stdin: Option<ChildStdin>,
    gone: &CancellationToken,
    done: &CancellationToken,
) {
    loop {
        let message = tokio::select! {
            message = reader.wait() => message,
            () = done.cancelled(), if stdin.is_some() => { stdin = None; continue }
        };
        match message {
            Some(ChannelMsg::Data { data }) => {
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
) {
    let Some(mut from) = from else { return };
    let mut piece = BytesMut::new();
    loop {
        piece.reserve(PIECE_BYTES);
        match from.read_buf(&mut piece).await {
            Ok(0) | Err(_) => return,
            Ok(_) => send(writer, stream, piece.split().freeze(), gone).await,
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
    fn a_refusal_is_a_pkt_line_with_its_own_length() {
        assert_eq!(error_line("Another git push is ongoing"), "0024ERR Another git push is ongoing\n");
    }
}
