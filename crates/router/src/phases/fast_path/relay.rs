//! Relaying a response's body from the app to the client.

use std::io::Write as _;
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use crate::access_log::app_log::LogEntry;
use crate::body::compress::Encoder;
use crate::http1::REQUEST_BYTES_MAX;
use crate::http1::body_reader::BodyReader;
use crate::http1::buffered_stream::{BufferedStream, DeadlineTimer, WAIT_MAX, WaitError, after};
use crate::http1::response::BodyEnd;
use crate::http1::write::BodyFraming;
use crate::limits::pace::Pace;
use crate::metrics::Counter;
use crate::upstream::Upstream;

/// Most bytes that are read at once.
const PIECE_BYTES_MAX: usize = 32 << 10;

/// The body ended early: the client must not take it for complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CutBy {
    Visitor,
    /// It is connected and takes nothing, or too little.
    SlowVisitor,
    App,
    /// It could not be compressed.
    Router,
}

/// A body up to this length is copied behind its head, which is cheaper than writing from two places.
const COPIED_BYTES_MAX: usize = 4 << 10;

/// Both sides of an exchange.
pub(crate) struct Relay<'a, S> {
    pub(crate) client: &'a mut BufferedStream<S>,
    pub(crate) app: &'a mut BufferedStream<Upstream>,
    pub(crate) timer: &'a mut DeadlineTimer,
    /// Longest silence of the app.
    pub(crate) silence_max: Duration,
    /// Longest time in which the client takes nothing.
    pub(crate) stall_max: Duration,
    /// Least rate at which it must take a long response.
    pub(crate) pace: Pace,
    pub(crate) bytes: &'a Counter,
    /// Line of the request in the app's log, if there is one.
    pub(crate) entry: Option<&'a mut LogEntry>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Relay<'_, S> {
    /// Sends the head, and the body as it comes.
    pub(crate) async fn carry(
        &mut self,
        head: &mut Vec<u8>,
        ends: BodyEnd,
        framing: BodyFraming,
    ) -> Result<(), CutBy> {
        let carried = match ends {
            BodyEnd::AtOnce => self.send(head).await,
            BodyEnd::After(length) => self.carry_length(head, length).await,
            BodyEnd::ByChunks | BodyEnd::WithConnection => self.carry_pieces(head, ends, framing).await,
        };
        self.note_end(carried)
    }

    fn note_end(&mut self, carried: Result<(), CutBy>) -> Result<(), CutBy> {
        if let Some(entry) = &mut self.entry {
            match carried {
                Ok(()) => entry.ended(),
                Err(CutBy::App | CutBy::Router) => entry.broke_off(),
                Err(CutBy::SlowVisitor) => entry.untaken(),
                // The entry says that by itself.
                Err(CutBy::Visitor) => {}
            }
        }
        carried
    }

    /// Notes that so many bytes of the body go to the client.
    fn note_sent(&mut self, bytes: usize) {
        if let Some(entry) = &mut self.entry {
            entry.sent(bytes as u64);
        }
    }

    async fn carry_length(&mut self, head: &mut Vec<u8>, mut left: u64) -> Result<(), CutBy> {
        loop {
            let unread = self.app.unread();
            let count = usize::try_from(left).unwrap_or(usize::MAX).min(unread.len());
            let mut piece = &unread[..count];
            if count <= COPIED_BYTES_MAX && !head.is_empty() {
                head.extend(piece);
                piece = &[];
            }
            let stall_max = self.stall_max.min(self.pace.left());
            let is_last = left == count as u64;
            let begun = Instant::now();
            let until = begun + stall_max.min(WAIT_MAX);
            if let Some(entry) = &mut self.entry {
                entry.sent(count as u64);
            }
            self.client.write(self.timer, until, head, piece).await.map_err(cut_by_client)?;
            if !is_last {
                // A client that takes everything at once costs no wait.
                self.pace.went(count as u64, begun.elapsed());
            }
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

    /// Forwards pieces as they come, each as a chunk of its own if the body is chunked.
    async fn carry_pieces(
        &mut self,
        out: &mut Vec<u8>,
        ends: BodyEnd,
        framing: BodyFraming,
    ) -> Result<(), CutBy> {
        let mut source = BodyReader::new(ends);
        loop {
            let mut sent = 0;
            let taken = self.take(&mut source, |data| {
                put(data, framing, out);
                sent += data.len();
                Ok(())
            });
            self.note_sent(sent);
            if taken.is_err() {
                // The client gets the valid part, and sees by the missing last chunk that the rest is lost.
                if framing == BodyFraming::Chunks {
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

    /// Compresses and sends the data that has arrived, so that streams stay streams.
    pub(crate) async fn compress(
        &mut self,
        out: &mut Vec<u8>,
        ends: BodyEnd,
        encoder: Encoder,
    ) -> Result<(), CutBy> {
        let carried = self.carry_compressed(out, ends, encoder).await;
        self.note_end(carried)
    }

    async fn carry_compressed(
        &mut self,
        out: &mut Vec<u8>,
        ends: BodyEnd,
        mut encoder: Encoder,
    ) -> Result<(), CutBy> {
        let mut source = BodyReader::new(ends);
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
                self.note_sent(encoder.out().len());
                put(encoder.out(), BodyFraming::Chunks, out);
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
        self.note_sent(rest.len());
        put(&rest, BodyFraming::Chunks, out);
        end(BodyFraming::Chunks, out);
        self.send(out).await
    }

    /// Hands on the data that has come.
    fn take(
        &mut self,
        source: &mut BodyReader,
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
        let begun = Instant::now();
        let until = begun + self.stall_max.min(self.pace.left()).min(WAIT_MAX);
        self.client.write(self.timer, until, bytes, &[]).await.map_err(cut_by_client)?;
        self.pace.went(bytes.len() as u64, begun.elapsed());
        Ok(())
    }

    /// Waits for more from the app; `false` after it has closed the connection in good order. Returns early when
    /// the client leaves.
    async fn more(&mut self) -> Result<bool, CutBy> {
        let until = after(self.silence_max);
        let Self { app, client: visitor, timer, .. } = self;
        let came = timer.within(until, |cx| {
            if let Poll::Ready(read) = app.poll_fill(cx, PIECE_BYTES_MAX) {
                return Poll::Ready(read.map(|count| count > 0).map_err(|_| CutBy::App));
            }
            visitor.poll_hangup(cx, REQUEST_BYTES_MAX).map(|()| Err(CutBy::Visitor))
        });
        came.await.unwrap_or(Err(CutBy::App))
    }
}

fn cut_by_client((_, error): (usize, WaitError)) -> CutBy {
    match error {
        WaitError::Timeout => CutBy::SlowVisitor,
        WaitError::Closed => CutBy::Visitor,
    }
}

fn put(data: &[u8], framing: BodyFraming, out: &mut Vec<u8>) {
    if data.is_empty() {
        return;
    }
    let is_chunk = framing == BodyFraming::Chunks;
    if is_chunk {
        write!(out, "{:X}\r\n", data.len()).expect("memory takes everything");
    }
    out.extend(data);
    if is_chunk {
        out.extend(b"\r\n");
    }
}

fn end(framing: BodyFraming, out: &mut Vec<u8>) {
    if framing == BodyFraming::Chunks {
        out.extend(b"0\r\n\r\n");
    }
}
