//! Carries a session over a WebSocket, and says goodbye in words that the other side understands.

use std::time::Duration;

use api::terminal::{End, Frame, PING_SECONDS, SILENCE_SECONDS_MAX, Start, close};
use engine::{Input, JobError, Output, Session};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};

use domain::terminal::TerminalSize;

use crate::http::access_watch::AccessWatch;
use crate::http::websocket::Socket;
use crate::serve::ShutdownSignal;

/// Longest wait for the first message.
const START_MAX: Duration = Duration::from_secs(10);
/// Longest time for the last messages.
const GOODBYE_MAX: Duration = Duration::from_secs(5);
const SILENCE_MAX: Duration = Duration::from_secs(SILENCE_SECONDS_MAX);
const PING_EVERY: Duration = Duration::from_secs(PING_SECONDS);

/// Connection to one client.
pub(super) struct TerminalConnection {
    sink: SplitSink<Socket, Message>,
    stream: SplitStream<Socket>,
}

/// Reason of closing a session, and its last messages.
struct CloseReason {
    /// `None` where nobody is there any more.
    code: Option<u16>,
    end: End,
}

impl CloseReason {
    fn gone() -> Self {
        Self { code: None, end: End { exit_code: None, error: None } }
    }

    fn error(code: u16, error: impl Into<String>) -> Self {
        Self { code: Some(code), end: End { exit_code: None, error: Some(error.into()) } }
    }

    fn forbidden() -> Self {
        Self::error(close::FORBIDDEN, "your access to this app has ended")
    }

    /// For the app's log.
    fn outcome(&self) -> String {
        match (&self.end.exit_code, &self.end.error) {
            (Some(code), _) => format!("ended with exit code {code}"),
            (None, Some(error)) => format!("ended: {error}"),
            (None, None) => "hung up".to_owned(),
        }
    }
}

impl TerminalConnection {
    pub(super) fn new(socket: Socket) -> Self {
        let (sink, stream) = socket.split();
        Self { sink, stream }
    }

    /// Reads the command to run; `None` after an unusable message, to which the client gets an error.
    pub(super) async fn start(&mut self, command_chars_max: usize) -> Option<Start> {
        let first = timeout(START_MAX, self.stream.next()).await;
        let frame = match &first {
            Ok(Some(Ok(Message::Binary(message)))) => Frame::decode(message).ok(),
            _ => None,
        };
        match frame {
            Some(Frame::Start(start))
                if !start.command.is_empty() && start.command.chars().count() <= command_chars_max =>
            {
                Some(start)
            }
            _ => {
                self.close(&CloseReason::error(close::WRONG, "the first message is no command")).await;
                None
            }
        }
    }

    pub(super) async fn refuse(mut self, reason: String) {
        self.close(&CloseReason::error(close::FAILED, reason)).await;
    }

    /// Says that the access has ended.
    pub(super) async fn forbid(mut self) {
        self.close(&CloseReason::forbidden()).await;
    }

    /// Carries the session to its end; gives what the app's log says about that. The session ends with this.
    pub(super) async fn relay(
        mut self,
        mut session: Session,
        mut closing: ShutdownSignal,
        mut access: AccessWatch,
    ) -> String {
        let goodbye = tokio::select! {
            goodbye = receive_input(&mut self.stream, &session.input) => goodbye,
            goodbye = send_output(&mut self.sink, &mut session.output) => goodbye,
            () = access.ended() => CloseReason::forbidden(),
            () = closing.begun() => {
                CloseReason::error(close::AWAY, "the controller is restarted, start the command again")
            }
        };
        drop(session);
        self.close(&goodbye).await;
        goodbye.outcome()
    }

    async fn close(&mut self, goodbye: &CloseReason) {
        let Some(code) = goodbye.code else { return };
        let last = async {
            self.sink.feed(binary(&Frame::End(goodbye.end.clone()))).await?;
            self.sink.send(Message::Close(Some(CloseFrame { code: code.into(), reason: "".into() }))).await?;
            // Unread input would make the client's system drop the messages that were sent to it.
            while self.stream.next().await.is_some_and(|message| message.is_ok()) {}
            Ok::<_, Error>(())
        };
        // A client that has gone needs no goodbye.
        _ = timeout(GOODBYE_MAX, last).await;
    }
}

/// Takes what the client says.
async fn receive_input(stream: &mut SplitStream<Socket>, input: &mpsc::Sender<Input>) -> CloseReason {
    loop {
        let message = match timeout(SILENCE_MAX, stream.next()).await {
            Err(_) => return CloseReason::error(close::SILENT, "nothing was heard from the client"),
            Ok(None) | Ok(Some(Ok(Message::Close(_)))) => return CloseReason::gone(),
            Ok(Some(Err(Error::Capacity(error)))) => {
                return CloseReason::error(close::WRONG, error.to_string());
            }
            Ok(Some(Err(_))) => return CloseReason::gone(),
            Ok(Some(Ok(Message::Binary(message)))) => message,
            Ok(Some(Ok(Message::Text(_)))) => {
                return CloseReason::error(close::WRONG, "messages of this protocol are binary");
            }
            Ok(Some(Ok(_))) => continue,
        };
        let typed = match Frame::decode(&message) {
            Ok(Frame::Stdin(bytes)) => Input::Bytes(bytes.into()),
            Ok(Frame::EndOfInput) => Input::End,
            Ok(Frame::Resize(size)) => Input::Resize(TerminalSize::new(size.columns, size.rows)),
            Ok(_) => {
                return CloseReason::error(
                    close::WRONG,
                    "this message is for the server to send, or the first",
                );
            }
            Err(error) => return CloseReason::error(close::WRONG, error.to_string()),
        };
        if input.send(typed).await.is_err() {
            // The process has ended; the other half says how.
            return std::future::pending().await;
        }
    }
}

/// Sends the output of the process, up to its end.
async fn send_output(
    sink: &mut SplitSink<Socket, Message>,
    output: &mut mpsc::Receiver<Output>,
) -> CloseReason {
    let mut pings = interval(PING_EVERY);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let message = tokio::select! {
            output = output.recv() => match output {
                Some(Output::Stdout(bytes)) => binary(&Frame::Stdout(bytes.into())),
                Some(Output::Stderr(bytes)) => binary(&Frame::Stderr(bytes.into())),
                Some(Output::Ended(ended)) => return ended_with(ended),
                None => return CloseReason::error(close::FAILED, "the session broke"),
            },
            _ = pings.tick() => Message::Ping(Vec::new().into()),
        };
        if sink.send(message).await.is_err() {
            return CloseReason::gone();
        }
    }
}

fn ended_with(ended: Result<i64, JobError>) -> CloseReason {
    match ended {
        Ok(code) => CloseReason { code: Some(close::ENDED), end: End { exit_code: Some(code), error: None } },
        Err(error @ JobError::TimedOut { .. }) => CloseReason::error(close::TIME_OVER, error.to_string()),
        Err(error) => {
            if let JobError::Engine(cause) = &error {
                tracing::error!(error = cause as &dyn std::error::Error, "a session failed");
            }
            CloseReason::error(close::FAILED, error.to_string())
        }
    }
}

fn binary(frame: &Frame) -> Message {
    Message::Binary(frame.encode().into())
}
