//! A session over a WebSocket, with the same address and credentials as requests.

mod connection;

use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::handshake::client::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::error::distrust;
use super::{CONNECT_TIMEOUT, Client, ClientError, Credentials, path};
use crate::terminal::{
    EXEC_PATH, Frame, MESSAGE_BYTES_MAX, RUN_TERMINAL_PATH, SILENCE_SECONDS_MAX, SUBPROTOCOL,
};
use connection::Connection;

/// Longest wait for the response to the first request.
const ANSWER_MAX: Duration = Duration::from_secs(30);
const SILENCE_MAX: Duration = Duration::from_secs(SILENCE_SECONDS_MAX);

/// Response of a controller that offers sessions to an ordinary request for one.
const UPGRADE_REQUIRED: u16 = 426;

type TerminalSocket = WebSocketStream<Connection>;

/// An open session. The first frame to send is `Start`.
pub struct Terminal {
    socket: TerminalSocket,
    what: String,
}

/// The sending half of a session.
pub struct TerminalSender {
    sink: SplitSink<TerminalSocket, Message>,
    what: String,
}

/// The receiving half of a session. Reading also answers the server's pings.
pub struct TerminalReceiver {
    stream: SplitStream<TerminalSocket>,
    what: String,
}

impl Client {
    /// Opens a session with a one-off process of the app.
    ///
    /// # Errors
    ///
    /// [`ClientError::Status`] as for requests, [`ClientError::Broken`] where the connection failed.
    pub async fn run_in_terminal(&self, app: &str) -> Result<Terminal, ClientError> {
        self.terminal(&path(RUN_TERMINAL_PATH, [app])).await
    }

    /// Opens a session with a command inside a pod; errors are those of [`Client::run_in_terminal`].
    pub async fn exec(&self, app: &str, process_type: &str, pod: &str) -> Result<Terminal, ClientError> {
        self.terminal(&path(EXEC_PATH, [app, process_type, pod])).await
    }

    async fn terminal(&self, path: &str) -> Result<Terminal, ClientError> {
        let what = format!("GET {}{path}", self.address);
        let request = self.socket_request(path).map_err(|error| broken(&what, &error))?;
        let connected = timeout(CONNECT_TIMEOUT, connection::connect(&self.address, self.ssl_verify)).await;
        let connection =
            connected.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into())).map_err(|error| {
                match distrust(&error) {
                    Some(reason) => ClientError::Untrusted { host: self.address.authority(), reason },
                    None => broken(&what, &error),
                }
            })?;
        let config = WebSocketConfig::default().max_message_size(Some(MESSAGE_BYTES_MAX));
        let opening = client_async_with_config(request, connection, Some(config));
        match timeout(ANSWER_MAX, opening).await {
            Ok(Ok((socket, answer))) => {
                self.note_version(&answer);
                Ok(Terminal { socket, what })
            }
            Ok(Err(Error::Http(answer))) => Err(self.refused(path, &answer)),
            Ok(Err(error)) => Err(broken(&what, &error)),
            Err(late) => Err(broken(&what, &late)),
        }
    }

    fn socket_request(&self, path: &str) -> Result<Request, Error> {
        let scheme = if self.address.scheme() == "https" { "wss" } else { "ws" };
        let mut request = format!("{scheme}://{}{path}", self.address.authority()).into_client_request()?;
        let headers = request.headers_mut();
        headers.insert("User-Agent", self.user_agent.parse()?);
        headers.insert("Sec-WebSocket-Protocol", SUBPROTOCOL.parse()?);
        if let Credentials::Token(token) = &self.credentials {
            headers.insert("Authorization", format!("token {token}").parse()?);
        }
        Ok(request)
    }

    /// Reason of a refused session. The WebSocket library reads no more of a response than came with its head, so
    /// the same is requested once more as an ordinary request, whose response is read whole.
    fn refused(&self, path: &str, answer: &Response) -> ClientError {
        let location = answer.headers().get("Location").and_then(|location| location.to_str().ok());
        if let (true, Some(location)) = (answer.status().is_redirection(), location) {
            return ClientError::Redirected { location: location.to_owned() };
        }
        match self.get_text(path) {
            Err(error) if error.status() != Some(UPGRADE_REQUIRED) => error,
            _ => ClientError::Status { status: answer.status().as_u16(), body: String::new() },
        }
    }

    fn note_version<B>(&self, answer: &tokio_tungstenite::tungstenite::http::Response<B>) {
        if let Some(hook) = &self.on_api_version {
            let version = answer.headers().get("DEIS_API_VERSION");
            hook(version.and_then(|value| value.to_str().ok()).unwrap_or(""));
        }
    }
}

impl Terminal {
    /// Splits the session, so that one task can send while another receives.
    pub fn split(self) -> (TerminalSender, TerminalReceiver) {
        let Self { socket, what } = self;
        let (sink, stream) = socket.split();
        (TerminalSender { sink, what: what.clone() }, TerminalReceiver { stream, what })
    }
}

impl TerminalSender {
    /// Sends a frame.
    pub async fn send(&mut self, frame: &Frame) -> Result<(), ClientError> {
        let sent = self.sink.send(Message::Binary(frame.encode().into())).await;
        sent.map_err(|error| broken(&self.what, &error))
    }

    /// Sends a ping, so that the server does not take this side for gone while nothing is typed.
    pub async fn ping(&mut self) -> Result<(), ClientError> {
        let sent = self.sink.send(Message::Ping(Vec::new().into())).await;
        sent.map_err(|error| broken(&self.what, &error))
    }
}

impl TerminalReceiver {
    /// The next frame; `None` when the connection was closed.
    ///
    /// # Errors
    ///
    /// [`ClientError::Broken`] where the connection failed, was silent for 60 s, or a message is not a frame.
    pub async fn next(&mut self) -> Result<Option<Frame>, ClientError> {
        loop {
            let message = timeout(SILENCE_MAX, self.stream.next()).await;
            let silent =
                || broken(&self.what, &format_args!("nothing was heard for {SILENCE_SECONDS_MAX} s"));
            match message.map_err(|_| silent())? {
                None | Some(Ok(Message::Close(_))) => return Ok(None),
                Some(Ok(Message::Binary(message))) => {
                    let frame = Frame::decode(&message).map_err(|error| broken(&self.what, &error))?;
                    return Ok(Some(frame));
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(broken(&self.what, &error)),
            }
        }
    }
}

fn broken(what: &str, reason: &dyn std::fmt::Display) -> ClientError {
    ClientError::Broken { request: what.to_owned(), reason: reason.to_string() }
}
