//! An answer's body on its way from the app to the visitor.

use std::io::Write as _;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::chunks::Chunks;
use super::line::{Line, Patience};
use super::response::Ends;
use super::write::Framing;
use crate::metrics::Count;

/// Most bytes that are read at once.
const PIECE_BYTES_MAX: usize = 32 << 10;

/// The body ended before its end: whoever still waits for it must not take it for whole.
#[derive(Debug)]
pub(crate) struct Cut;

/// A body up to this length is copied behind its head, which is cheaper than writing from two places.
const COPIED_BYTES_MAX: usize = 4 << 10;

/// Both sides of an exchange.
pub(crate) struct Relay<'a, S> {
    pub(crate) visitor: &'a mut Line<S>,
    pub(crate) app: &'a mut Line<TcpStream>,
    pub(crate) patience: &'a mut Patience,
    /// How long either side may stay silent.
    pub(crate) silence_max: Duration,
    pub(crate) bytes: &'a Count,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Relay<'_, S> {
    /// Sends the head, and the body as it comes.
    pub(crate) async fn carry(&mut self, head: Vec<u8>, ends: Ends, framing: Framing) -> Result<(), Cut> {
        match ends {
            Ends::AtOnce => self.send(&head).await,
            Ends::After(length) => self.carry_length(head, length).await,
            Ends::ByChunks => self.carry_chunks(head, framing).await,
            Ends::WithConnection => self.carry_rest(head, framing).await,
        }
    }

    async fn carry_length(&mut self, mut head: Vec<u8>, mut left: u64) -> Result<(), Cut> {
        loop {
            let unread = self.app.unread();
            let count = usize::try_from(left).unwrap_or(usize::MAX).min(unread.len());
            let until = Instant::now() + self.silence_max;
            let mut piece = &unread[..count];
            if count <= COPIED_BYTES_MAX && !head.is_empty() {
                head.extend(piece);
                piece = &[];
            }
            self.visitor.write(self.patience, until, &head, piece).await.map_err(|_| Cut)?;
            head.clear();
            self.app.consume(count);
            self.bytes.add(count as u64);
            left -= count as u64;
            if left == 0 {
                return Ok(());
            }
            if !self.more().await? {
                return Err(Cut);
            }
        }
    }

    /// Chunks are made anew, one for each piece that comes.
    async fn carry_chunks(&mut self, head: Vec<u8>, framing: Framing) -> Result<(), Cut> {
        let (mut out, mut chunks) = (head, Chunks::new());
        loop {
            while !chunks.is_over() && !self.app.unread().is_empty() {
                let Ok((data, used)) = chunks.next(self.app.unread()) else {
                    // What was good before reaches a visitor who sees by the chunks that the rest is missing.
                    if framing == Framing::Chunks {
                        self.send(&out).await?;
                    }
                    return Err(Cut);
                };
                put(data, framing, &mut out);
                self.bytes.add(data.len() as u64);
                self.app.consume(used);
            }
            if chunks.is_over() {
                end(framing, &mut out);
                return self.send(&out).await;
            }
            self.send(&out).await?;
            out.clear();
            if !self.more().await? {
                return Err(Cut);
            }
        }
    }

    async fn carry_rest(&mut self, head: Vec<u8>, framing: Framing) -> Result<(), Cut> {
        let mut out = head;
        loop {
            let data = self.app.unread();
            put(data, framing, &mut out);
            let count = data.len();
            self.bytes.add(count as u64);
            self.app.consume(count);
            self.send(&out).await?;
            out.clear();
            if !self.more().await? {
                end(framing, &mut out);
                return self.send(&out).await;
            }
        }
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), Cut> {
        let until = Instant::now() + self.silence_max;
        self.visitor.write(self.patience, until, bytes, &[]).await.map_err(|_| Cut)
    }

    /// Waits for more from the app; `false` where it has closed the connection in good order.
    async fn more(&mut self) -> Result<bool, Cut> {
        let until = Instant::now() + self.silence_max;
        match self.patience.within(until, |cx| self.app.poll_fill(cx, PIECE_BYTES_MAX)).await {
            Some(Ok(count)) => Ok(count > 0),
            Some(Err(_)) | None => Err(Cut),
        }
    }
}

fn put(data: &[u8], framing: Framing, out: &mut Vec<u8>) {
    if data.is_empty() {
        return;
    }
    let is_chunk = framing == Framing::Chunks;
    if is_chunk {
        write!(out, "{:X}\r\n", data.len()).expect("memory takes everything");
    }
    out.extend(data);
    if is_chunk {
        out.extend(b"\r\n");
    }
}

fn end(framing: Framing, out: &mut Vec<u8>) {
    if framing == Framing::Chunks {
        out.extend(b"0\r\n\r\n");
    }
}
