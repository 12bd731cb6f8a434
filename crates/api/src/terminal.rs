//! Sessions over a WebSocket: an interactive process (docs/terminal-protocol.md).
//!
//! Each message is binary. Its first byte is the channel, the rest is the content.

use serde::{Deserialize, Serialize};

pub const RUN_TERMINAL_PATH: &str = "/v2/apps/{app}/run/terminal";
pub const EXEC_PATH: &str = "/v2/apps/{app}/pods/{type}/{name}/exec";

/// Name and version of the protocol; both sides must name it.
pub const SUBPROTOCOL: &str = "v1.terminal.deis";
/// Longest message in either direction.
pub const MESSAGE_BYTES_MAX: usize = 64 << 10;
/// Seconds between two pings of a side.
pub const PING_SECONDS: u64 = 20;
/// Seconds of silence after which either side ends the session.
pub const SILENCE_SECONDS_MAX: u64 = 60;

/// Close codes of a session (RFC 6455 section 7.4); those from 4000 up are the protocol's own.
pub mod close {
    /// The process has ended; its exit code was sent.
    pub const ENDED: u16 = 1000;
    /// The controller stops; the process was ended.
    pub const AWAY: u16 = 1001;
    /// A message that the protocol does not know.
    pub const WRONG: u16 = 1002;
    /// The process could not be run.
    pub const FAILED: u16 = 1011;
    /// The session has lasted as long as one may.
    pub const TIME_OVER: u16 = 4000;
    /// The other side was silent for too long.
    pub const SILENT: u16 = 4001;
    /// The user's access has ended: the token, the right to the app, or the app.
    pub const FORBIDDEN: u16 = 4003;
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// Input of the user.
    Stdin(Vec<u8>),
    /// Output of the process; with a terminal, all of it.
    Stdout(Vec<u8>),
    /// Output to stderr of a process without a terminal.
    Stderr(Vec<u8>),
    /// The last message of the server.
    End(End),
    /// New size of the terminal.
    Resize(Size),
    /// The first message of the client.
    Start(Start),
    /// End of the input.
    EndOfInput,
}

/// Command to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// Command line for a shell.
    pub command: String,
    /// Size of the terminal; `None` gives the process pipes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminal: Option<Size>,
    /// Kind of terminal, as in `TERM`.
    #[serde(default)]
    pub term: String,
}

/// Size of a terminal in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    pub columns: u16,
    pub rows: u16,
}

/// Exit of the process, or the reason why there was none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A message that is not a frame of the protocol.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    #[error("an empty message has no channel")]
    Empty,
    #[error("there is no channel {0}")]
    Channel(u8),
    #[error("what came through channel {channel} is not readable: {source}")]
    Content { channel: u8, source: serde_json::Error },
}

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const END: u8 = 3;
const RESIZE: u8 = 4;
const START: u8 = 5;
const END_OF_INPUT: u8 = 6;

impl Frame {
    /// Message of this frame: the byte of its channel, then the content.
    pub fn encode(&self) -> Vec<u8> {
        let json = |channel, value: serde_json::Result<Vec<u8>>| {
            joined(channel, &value.expect("texts and numbers can be written"))
        };
        match self {
            Self::Stdin(bytes) => joined(STDIN, bytes),
            Self::Stdout(bytes) => joined(STDOUT, bytes),
            Self::Stderr(bytes) => joined(STDERR, bytes),
            Self::End(end) => json(END, serde_json::to_vec(end)),
            Self::Resize(size) => json(RESIZE, serde_json::to_vec(size)),
            Self::Start(start) => json(START, serde_json::to_vec(start)),
            Self::EndOfInput => vec![END_OF_INPUT],
        }
    }

    /// Parses a message of the other side.
    ///
    /// # Errors
    ///
    /// [`FrameError::Empty`] and [`FrameError::Channel`] for a message without a known channel,
    /// [`FrameError::Content`] for content that its channel does not take. Each ends the session with
    /// [`close::WRONG`].
    pub fn decode(message: &[u8]) -> Result<Self, FrameError> {
        let (channel, content) = message.split_first().ok_or(FrameError::Empty)?;
        let unreadable = |source| FrameError::Content { channel: *channel, source };
        match *channel {
            STDIN => Ok(Self::Stdin(content.to_vec())),
            STDOUT => Ok(Self::Stdout(content.to_vec())),
            STDERR => Ok(Self::Stderr(content.to_vec())),
            END => serde_json::from_slice(content).map(Self::End).map_err(unreadable),
            RESIZE => serde_json::from_slice(content).map(Self::Resize).map_err(unreadable),
            START => serde_json::from_slice(content).map(Self::Start).map_err(unreadable),
            END_OF_INPUT => Ok(Self::EndOfInput),
            other => Err(FrameError::Channel(other)),
        }
    }
}

fn joined(channel: u8, content: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(content.len() + 1);
    message.push(channel);
    message.extend_from_slice(content);
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_frame_is_read_as_it_was_written() {
        let size = Size { columns: 80, rows: 24 };
        for frame in [
            Frame::Stdin(b"ls\n\0".to_vec()),
            Frame::Stdout(Vec::new()),
            Frame::Stderr("ü".into()),
            Frame::End(End { exit_code: Some(-1), error: None }),
            Frame::Resize(size),
            Frame::Start(Start {
                command: "bash".to_owned(),
                terminal: Some(size),
                term: "xterm".to_owned(),
            }),
            Frame::EndOfInput,
        ] {
            assert_eq!(Frame::decode(&frame.encode()).unwrap(), frame);
        }
        let start = br#"{"command":"ls"}"#;
        let read = Frame::decode(&joined(5, start)).unwrap();
        assert_eq!(
            read,
            Frame::Start(Start { command: "ls".to_owned(), terminal: None, term: String::new() })
        );
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        for message in [&b""[..], b"\x07", b"\x04", b"\x04{}", b"\x05{\"command\":1}"] {
            assert!(Frame::decode(message).is_err(), "{message:?}");
        }
    }
}
