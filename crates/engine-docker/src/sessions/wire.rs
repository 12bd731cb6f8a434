//! A request to Docker that becomes a stream in both directions.

use std::io;

use bollard::errors::Error;
use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_TYPE, HOST, UPGRADE};
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::handshake;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::mpsc;

use engine::Output;
use engine::session::PIECE_BYTES_MAX;

/// Longest error text that is read.
const REFUSAL_BYTES_MAX: usize = 16 << 10;
/// Without a terminal each piece has a head: the stream, three empty bytes, and the length.
const HEAD_BYTES: usize = 8;
const STDERR: u8 = 2;

trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for T {}

pub struct RawConnection(TokioIo<Upgraded>);

/// Output of the process.
pub struct OutputHalf(ReadHalf<TokioIo<Upgraded>>);

/// Input of the process.
pub struct InputHalf(WriteHalf<TokioIo<Upgraded>>);

impl RawConnection {
    /// Posts `body` to `path` and keeps the connection.
    pub async fn open(socket: &str, path: &str, body: &Value) -> Result<Self, Error> {
        let stream = connect(socket).await.map_err(|err| Error::IOError { err })?;
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(broken)?;
        // Ends with the connection, whose owner is the upgraded stream from here on.
        tokio::spawn(connection.with_upgrades());
        let request = Request::post(path)
            .header(HOST, "docker")
            .header(CONNECTION, "Upgrade")
            .header(UPGRADE, "tcp")
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body.to_string())))
            .map_err(broken)?;
        let answer = sender.send_request(request).await.map_err(broken)?;
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(refused(answer).await);
        }
        Ok(Self(TokioIo::new(hyper::upgrade::on(answer).await.map_err(broken)?)))
    }

    pub fn split(self) -> (OutputHalf, InputHalf) {
        let (said, typed) = tokio::io::split(self.0);
        (OutputHalf(said), InputHalf(typed))
    }
}

impl OutputHalf {
    /// Forwards the output to its end. A receiver that is gone does not stop the process.
    pub async fn forward(&mut self, has_terminal: bool, output: &mpsc::Sender<Output>) -> Result<(), Error> {
        let forwarded = match has_terminal {
            true => self.forward_plain(output).await,
            false => self.forward_framed(output).await,
        };
        match forwarded {
            // Docker closes without ceremony where the process ended in the middle.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
            other => other.map_err(|err| Error::IOError { err }),
        }
    }

    async fn forward_plain(&mut self, output: &mpsc::Sender<Output>) -> io::Result<()> {
        loop {
            let mut piece = BytesMut::with_capacity(PIECE_BYTES_MAX);
            if self.0.read_buf(&mut piece).await? == 0 {
                return Ok(());
            }
            _ = output.send(Output::Stdout(piece.freeze())).await;
        }
    }

    async fn forward_framed(&mut self, output: &mpsc::Sender<Output>) -> io::Result<()> {
        loop {
            let mut head = [0; HEAD_BYTES];
            self.0.read_exact(&mut head).await?;
            let mut left = u32::from_be_bytes([head[4], head[5], head[6], head[7]]) as usize;
            while left > 0 {
                let mut piece = BytesMut::zeroed(left.min(PIECE_BYTES_MAX));
                self.0.read_exact(&mut piece).await?;
                left -= piece.len();
                let piece = piece.freeze();
                let piece = if head[0] == STDERR { Output::Stderr(piece) } else { Output::Stdout(piece) };
                _ = output.send(piece).await;
            }
        }
    }
}

impl InputHalf {
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes).await?;
        self.0.flush().await
    }

    /// Says that nothing more comes; what the process says still arrives.
    pub async fn end(&mut self) -> io::Result<()> {
        self.0.shutdown().await
    }
}

async fn connect(socket: &str) -> io::Result<Box<dyn ByteStream>> {
    let tcp = socket.strip_prefix("tcp://").or_else(|| socket.strip_prefix("http://"));
    match tcp {
        Some(address) => {
            let stream = TcpStream::connect(address.trim_end_matches('/')).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream))
        }
        None => Ok(Box::new(UnixStream::connect(socket.strip_prefix("unix://").unwrap_or(socket)).await?)),
    }
}

async fn refused(answer: http::Response<hyper::body::Incoming>) -> Error {
    let status_code = answer.status().as_u16();
    let body = Limited::new(answer.into_body(), REFUSAL_BYTES_MAX).collect().await;
    let body = body.map(|body| body.to_bytes()).unwrap_or_default();
    let value: Value = serde_json::from_slice(&body).unwrap_or_default();
    let message = value["message"].as_str().map(str::to_owned);
    let message = message.unwrap_or_else(|| String::from_utf8_lossy(&body).into_owned());
    Error::DockerResponseServerError { status_code, message }
}

fn broken(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::IOError { err: io::Error::other(error) }
}
