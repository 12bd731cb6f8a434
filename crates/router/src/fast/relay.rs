//! An answer's body on its way from the app to the visitor.

use std::io::Write as _;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::line::{Line, Patience, after};
use super::response::Ends;
use super::source::Source;
use super::write::Framing;
use crate::compress::Encoder;
use crate::metrics::Count;

/// Most bytes that are read at once.
const PIECE_BYTES_MAX: usize = 32 << 10;

/// The body ended before its end: whoever still waits for it must not take it for whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CutBy {
    Visitor,
    App,
    /// It could not be compressed.
    Router,
}

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
    pub(crate) async fn carry(
        &mut self,
        head: &mut Vec<u8>,
        ends: Ends,
        framing: Framing,
    ) -> Result<(), CutBy> {
        match ends {
            Ends::AtOnce => self.send(head).await,
            Ends::After(length) => self.carry_length(head, length).await,
            Ends::ByChunks | Ends::WithConnection => self.carry_pieces(head, ends, framing).await,
        }
    }

    async fn carry_length(&mut self, head: &mut Vec<u8>, mut left: u64) -> Result<(), CutBy> {
        loop {
            let unread = self.app.unread();
            let count = usize::try_from(left).unwrap_or(usize::MAX).min(unread.len());
            let until = after(self.silence_max);
            let mut piece = &unread[..count];
            if count <= COPIED_BYTES_MAX && !head.is_empty() {
                head.extend(piece);
                piece = &[];
            }
            self.visitor.write(self.patience, until, head, piece).await.map_err(|_| CutBy::Visitor)?;
            head.clear();
            self.app.consume(count);
            self.bytes.add(count as u64);
            left -= count as u64;
            if left == 0 {
                return Ok(());
            }
            if !self.more().await? {
                return Err(CutBy::App);
            }
        }
    }

    /// Pieces go on as they come, each as a chunk of its own where there are chunks.
    async fn carry_pieces(&mut self, out: &mut Vec<u8>, ends: Ends, framing: Framing) -> Result<(), CutBy> {
        let mut source = Source::new(ends);
        loop {
            let taken = self.take(&mut source, |data| {
                put(data, framing, out);
                Ok(())
            });
            if taken.is_err() {
                // What was good before reaches a visitor who sees by the chunks that the rest is missing.
                if framing == Framing::Chunks {
                    self.send(out).await?;
                }
                return Err(CutBy::App);
            }
            if source.is_over() {
                end(framing, out);
                return self.send(out).await;
            }
            self.send(out).await?;
            out.clear();
            if !self.more().await? {
                if !source.may_end_here() {
                    return Err(CutBy::App);
                }
                end(framing, out);
                return self.send(out).await;
            }
        }
    }

    /// What has come so far is compressed and sent on, so that streams stay streams.
    pub(crate) async fn compress(
        &mut self,
        out: &mut Vec<u8>,
        ends: Ends,
        mut encoder: Encoder,
    ) -> Result<(), CutBy> {
        let mut source = Source::new(ends);
        loop {
            let mut is_dirty = false;
            self.take(&mut source, |data| {
                is_dirty |= !data.is_empty();
                encoder.write_all(data).map_err(|_| CutBy::Router)
            })?;
            if source.is_over() {
                break;
            }
            if is_dirty {
                encoder.flush().map_err(|_| CutBy::Router)?;
                put(encoder.out(), Framing::Chunks, out);
                encoder.out().clear();
            }
            self.send(out).await?;
            out.clear();
            if !self.more().await? {
                if !source.may_end_here() {
                    return Err(CutBy::App);
                }
                break;
            }
        }
        let rest = encoder.finish().map_err(|_| CutBy::Router)?;
        put(&rest, Framing::Chunks, out);
        end(Framing::Chunks, out);
        self.send(out).await
    }

    /// Hands on the data that has come.
    fn take(
        &mut self,
        source: &mut Source,
        mut hand_on: impl FnMut(&[u8]) -> Result<(), CutBy>,
    ) -> Result<(), CutBy> {
        while !source.is_over() && !self.app.unread().is_empty() {
            let (data, used) = source.next(self.app.unread()).map_err(|_| CutBy::App)?;
            hand_on(data)?;
            self.bytes.add(data.len() as u64);
            self.app.consume(used);
        }
        Ok(())
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), CutBy> {
        let until = after(self.silence_max);
        self.visitor.write(self.patience, until, bytes, &[]).await.map_err(|_| CutBy::Visitor)
    }

    /// Waits for more from the app; `false` where it has closed the connection in good order.
    async fn more(&mut self) -> Result<bool, CutBy> {
        let until = after(self.silence_max);
        match self.patience.within(until, |cx| self.app.poll_fill(cx, PIECE_BYTES_MAX)).await {
            Some(Ok(count)) => Ok(count > 0),
            Some(Err(_)) | None => Err(CutBy::App),
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
