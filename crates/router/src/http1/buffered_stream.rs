//! A connection as the fast path reads and writes it: no wait without an end.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::buffer::{Buffer, Buffers};

/// A year, which no connection outlives.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(365 * 86_400);

/// Wait that ended without data.
#[derive(Debug)]
pub(crate) enum WaitError {
    /// The time was up.
    Timeout,
    /// The other side is gone.
    Closed,
}

/// A stream with what came and was not used yet.
pub(crate) struct BufferedStream<S> {
    stream: S,
    buffer: Option<Buffer>,
    buffers: Rc<Buffers>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> BufferedStream<S> {
    pub(crate) fn new(stream: S, buffers: &Rc<Buffers>) -> Self {
        Self { stream, buffer: None, buffers: Rc::clone(buffers) }
    }

    pub(crate) fn stream(&self) -> &S {
        &self.stream
    }

    pub(crate) fn unread(&self) -> &[u8] {
        self.buffer.as_ref().map_or(&[], Buffer::unread)
    }

    /// Removes bytes from the front of the unread ones.
    pub(crate) fn consume(&mut self, count: usize) {
        if let Some(buffer) = &mut self.buffer {
            buffer.consume(count);
            if buffer.is_empty() {
                self.buffer = None;
            }
        }
    }

    /// The stream, and what was read from it and not used.
    pub(crate) fn into_parts(self) -> (S, Vec<u8>) {
        let unread = self.unread().to_vec();
        (self.stream, unread)
    }

    /// Keeps what has come in no more room than it needs: the rest may be long in coming.
    pub(crate) fn compact(&mut self) {
        self.buffer.iter_mut().for_each(Buffer::compact);
    }

    /// Reads more, up to so many unread bytes; 0 at the end of the stream.
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>, bytes_max: usize) -> Poll<io::Result<usize>> {
        let mut buffer = self.buffer.take().unwrap_or_else(|| self.buffers.lend());
        let mut room = ReadBuf::new(buffer.room(bytes_max));
        let read = Pin::new(&mut self.stream).poll_read(cx, &mut room);
        let count = room.filled().len();
        buffer.filled(count);
        if !buffer.is_empty() {
            self.buffer = Some(buffer);
        }
        read.map_ok(|()| count)
    }

    /// Ready once the other side has closed its half or the connection has failed. What comes meanwhile is kept, up to
    /// so many unread bytes; with more of them, nothing is read and the end goes unseen until they are used.
    pub(crate) fn poll_hangup(&mut self, cx: &mut Context<'_>, bytes_max: usize) -> Poll<()> {
        while self.unread().len() < bytes_max {
            match ready!(self.poll_fill(cx, bytes_max)) {
                Ok(1..) => self.compact(),
                Ok(0) | Err(_) => return Poll::Ready(()),
            }
        }
        Poll::Pending
    }

    /// Reads more, in time; the end of the stream breaks it.
    pub(crate) async fn fill(
        &mut self,
        timer: &mut DeadlineTimer,
        until: Instant,
        bytes_max: usize,
    ) -> Result<(), WaitError> {
        match timer.within(until, |cx| self.poll_fill(cx, bytes_max)).await {
            Some(Ok(1..)) => Ok(()),
            Some(_) => Err(WaitError::Closed),
            None => Err(WaitError::Timeout),
        }
    }

    /// Writes both within the time limit; the error has the number of written bytes.
    pub(crate) async fn write(
        &mut self,
        timer: &mut DeadlineTimer,
        until: Instant,
        mut first: &[u8],
        mut second: &[u8],
    ) -> Result<(), (usize, WaitError)> {
        let mut written = 0;
        while !first.is_empty() || !second.is_empty() {
            let stream = &mut self.stream;
            let wrote = timer.within(until, |cx| {
                let stream = Pin::new(&mut *stream);
                match (first, second) {
                    (only, []) | ([], only) => stream.poll_write(cx, only),
                    _ => stream.poll_write_vectored(cx, &[IoSlice::new(first), IoSlice::new(second)]),
                }
            });
            let count = match wrote.await {
                Some(Ok(count @ 1..)) => count,
                Some(_) => return Err((written, WaitError::Closed)),
                None => return Err((written, WaitError::Timeout)),
            };
            written += count;
            let of_first = count.min(first.len());
            first = &first[of_first..];
            second = &second[count - of_first..];
        }
        let stream = &mut self.stream;
        match timer.within(until, |cx| Pin::new(&mut *stream).poll_flush(cx)).await {
            Some(Ok(())) => Ok(()),
            Some(Err(_)) => Err((written, WaitError::Closed)),
            None => Err((written, WaitError::Timeout)),
        }
    }

    /// Says that nothing more will come from this side.
    pub(crate) async fn shut(&mut self, timer: &mut DeadlineTimer, until: Instant) {
        let _ = timer.within(until, |cx| Pin::new(&mut self.stream).poll_shutdown(cx)).await;
    }
}

/// The end of a wait that begins now; settings may ask for longer than clocks reach.
pub(crate) fn after(wait: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(wait).unwrap_or(now + WAIT_MAX)
}

/// The one timer of a connection. Most waits end long before their time, so it is set back only when it rings.
pub(crate) struct DeadlineTimer {
    sleep: Pin<Box<Sleep>>,
    until: Instant,
}

impl DeadlineTimer {
    pub(crate) fn new(until: Instant) -> Self {
        Self { sleep: Box::pin(tokio::time::sleep_until(until)), until }
    }

    /// Result of `poll`, or `None` after the time limit.
    pub(crate) async fn within<T>(
        &mut self,
        until: Instant,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Option<T> {
        self.until = until;
        poll_fn(|cx| match poll(cx) {
            Poll::Ready(brought) => Poll::Ready(Some(brought)),
            Poll::Pending => self.poll_up(cx).map(|()| None),
        })
        .await
    }

    fn poll_up(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.until < self.sleep.deadline() {
            self.sleep.as_mut().reset(self.until);
        }
        loop {
            ready!(self.sleep.as_mut().poll(cx));
            if Instant::now() >= self.until {
                return Poll::Ready(());
            }
            self.sleep.as_mut().reset(self.until);
        }
    }
}
