//! The one body type of requests to backends and responses to clients.

pub(crate) mod attended;
pub(crate) mod compress;
mod logged;
pub(crate) mod spool;

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use self::logged::LoggedBody;
use crate::access_log::app_log::LogEntry;
use crate::body::compress::{CompressedBody, Encoder};
use crate::body::spool::Spool;
use crate::limits::pace::Pace;
use crate::metrics::{AppMetrics, Counter};
use crate::table::in_flight::InFlightGuard;

/// Reason why a body ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error(transparent)]
    Broken(#[from] hyper::Error),
    #[error("request body is larger than {0} bytes")]
    TooLarge(u64),
    #[error("cannot compress the body")]
    Compression(#[from] std::io::Error),
    #[error("nothing came for {0:?}")]
    Silent(Duration),
    #[error("nobody takes it")]
    Untaken,
    #[error("it comes too slowly")]
    Slow,
    #[error("what was kept of it cannot be read")]
    Unreadable(#[source] std::io::Error),
}

/// Reason why a request's body ended early, for the sender of the request: the HTTP library may report no more
/// than a lost request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyFailure {
    TooLarge(u64),
    /// It did not come in time.
    Late,
    /// The client cut it off, or it is malformed.
    Broken,
    /// The router lost it.
    Lost,
}

impl BodyError {
    pub(crate) fn failure(&self) -> BodyFailure {
        match self {
            Self::TooLarge(bytes_max) => BodyFailure::TooLarge(*bytes_max),
            Self::Silent(_) | Self::Slow => BodyFailure::Late,
            Self::Broken(_) => BodyFailure::Broken,
            Self::Compression(_) | Self::Untaken | Self::Unreadable(_) => BodyFailure::Lost,
        }
    }
}

/// A body that streams through, or a short text of the router's own.
pub(crate) enum ProxyBody {
    Text(Option<Bytes>),
    Streamed(Box<StreamedBody>),
    Spooled(Box<SpooledBody>),
    Compressed(Box<CompressedBody>),
    /// One of these, of an app that wants its requests logged.
    Logged(Box<LoggedBody>),
}

/// A streaming body with its limits; holds the count of requests under way until it has ended.
pub(crate) struct StreamedBody {
    incoming: Incoming,
    left: u64,
    bytes_max: u64,
    silence_max: Duration,
    silence: Pin<Box<Sleep>>,
    counted: ByteCounter,
    guard: Option<InFlightGuard>,
    /// Of a request that must not come too slowly.
    pace: Option<Pace>,
    failed: Rc<Cell<Option<BodyFailure>>>,
}

/// A request's body that was kept until it was whole; where there was no room for that, its rest streams.
pub(crate) struct SpooledBody {
    spool: Spool,
    /// Data that found no room.
    next: Option<Bytes>,
    rest: Option<Box<StreamedBody>>,
    /// Size announced by the client.
    size: SizeHint,
    failed: Rc<Cell<Option<BodyFailure>>>,
    is_over: bool,
}

/// Counter for the bytes of a body.
struct ByteCounter {
    metrics: Arc<AppMetrics>,
    bytes: fn(&AppMetrics) -> &Counter,
}

impl ProxyBody {
    pub(crate) fn empty() -> Self {
        Self::Text(None)
    }

    pub(crate) fn text(text: String) -> Self {
        Self::Text(Some(Bytes::from(text)))
    }

    /// A request's body, bounded in size.
    pub(crate) fn request(
        incoming: Incoming,
        bytes_max: Option<u64>,
        silence_max: Duration,
        metrics: Arc<AppMetrics>,
    ) -> Self {
        let counted = ByteCounter { metrics, bytes: |metrics| &metrics.bytes_in };
        Self::Streamed(Box::new(StreamedBody::new(
            incoming,
            bytes_max.unwrap_or(u64::MAX),
            silence_max,
            counted,
            None,
        )))
    }

    /// A request's body that came first into `spool`, and then what of it there was no room for.
    pub(crate) fn spooled(spool: Spool, rest: Option<(Bytes, Box<StreamedBody>)>, size: SizeHint) -> Self {
        let failed = rest.as_ref().map(|(_, rest)| Rc::clone(&rest.failed)).unwrap_or_default();
        let (next, rest) = rest.unzip();
        Self::Spooled(Box::new(SpooledBody { spool, next, rest, size, failed, is_over: false }))
    }

    /// Cell that gets the reason if a request's body ends early.
    pub(crate) fn failed(&self) -> Option<Rc<Cell<Option<BodyFailure>>>> {
        match self {
            Self::Streamed(streamed) => Some(Rc::clone(&streamed.failed)),
            Self::Spooled(spooled) => Some(Rc::clone(&spooled.failed)),
            Self::Text(_) | Self::Compressed(_) | Self::Logged(_) => None,
        }
    }

    /// An answer's body.
    pub(crate) fn answer(incoming: Incoming, silence_max: Duration, guard: InFlightGuard) -> Self {
        let metrics = Arc::clone(guard.metrics());
        let counted = ByteCounter { metrics, bytes: |metrics| &metrics.bytes_out };
        Self::Streamed(Box::new(StreamedBody::new(incoming, u64::MAX, silence_max, counted, Some(guard))))
    }

    /// Returns true if it streams from the other side, of whatever length.
    pub(crate) fn is_streamed(&self) -> bool {
        matches!(self, Self::Streamed(streamed) if !streamed.incoming.is_end_stream())
    }

    /// The same body, compressed; others than streamed ones stay as they are.
    pub(crate) fn compressed(self, encoder: Encoder) -> Self {
        match self {
            Self::Streamed(streamed) => Self::Compressed(Box::new(CompressedBody::new(*streamed, encoder))),
            other => other,
        }
    }

    /// The same body, whose end writes the log entry.
    pub(crate) fn logged(self, access: Box<LogEntry>) -> Self {
        Self::Logged(Box::new(LoggedBody::new(self, access)))
    }

    /// The release that it comes from.
    pub(crate) fn release(&self) -> Option<u64> {
        match self {
            Self::Streamed(streamed) => streamed.guard.as_ref().map(|guard| guard.under_way().release()),
            Self::Text(_) | Self::Spooled(_) | Self::Compressed(_) | Self::Logged(_) => None,
        }
    }
}

impl Body for ProxyBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Text(text) => Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
            Self::Streamed(streamed) => streamed.poll_frame(cx),
            Self::Spooled(spooled) => spooled.poll_frame(cx),
            Self::Compressed(compressed) => compressed.poll_frame(cx),
            Self::Logged(body) => body.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Text(text) => text.is_none(),
            Self::Streamed(streamed) => streamed.incoming.is_end_stream(),
            Self::Spooled(spooled) => spooled.is_over,
            Self::Compressed(compressed) => compressed.is_over(),
            Self::Logged(body) => body.is_over(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Text(text) => SizeHint::with_exact(text.as_ref().map_or(0, |text| text.len() as u64)),
            Self::Streamed(streamed) => streamed.incoming.size_hint(),
            Self::Spooled(spooled) => spooled.size,
            Self::Compressed(_) => SizeHint::default(),
            Self::Logged(body) => body.size_hint(),
        }
    }
}

impl SpooledBody {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.spool.poll_next(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Some(Ok(piece))) => return Poll::Ready(Some(Ok(Frame::data(piece)))),
            Poll::Ready(Some(Err(error))) => {
                self.failed.set(Some(BodyFailure::Lost));
                return Poll::Ready(Some(Err(BodyError::Unreadable(error))));
            }
            Poll::Ready(None) => {}
        }
        if let Some(next) = self.next.take() {
            return Poll::Ready(Some(Ok(Frame::data(next))));
        }
        let polled = self.rest.as_mut().map_or(Poll::Ready(None), |rest| rest.poll_frame(cx));
        self.is_over |= matches!(polled, Poll::Ready(None));
        polled
    }
}

impl StreamedBody {
    fn new(
        incoming: Incoming,
        bytes_max: u64,
        silence_max: Duration,
        counted: ByteCounter,
        guard: Option<InFlightGuard>,
    ) -> Self {
        let silence = Box::pin(tokio::time::sleep(silence_max));
        let (left, failed) = (bytes_max, Rc::default());
        Self { incoming, left, bytes_max, silence_max, silence, counted, guard, pace: None, failed }
    }

    /// It ends early where it comes more slowly.
    pub(crate) fn keep_pace(&mut self, pace: Pace) {
        self.pace = Some(pace);
    }

    /// Length announced by the client.
    pub(crate) fn size(&self) -> SizeHint {
        self.incoming.size_hint()
    }

    /// Returns the unread rest.
    pub(crate) fn into_incoming(self) -> Incoming {
        self.incoming
    }

    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match Pin::new(&mut self.incoming).poll_frame(cx) {
            Poll::Pending => self.poll_timeouts(cx),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Ready(Some(Err(error))) => self.broken(error.into()),
            Poll::Ready(Some(Ok(frame))) => {
                let length = frame.data_ref().map_or(0, |data| data.len() as u64);
                let now = Instant::now();
                self.silence.as_mut().reset(now + self.silence_max);
                self.pace.as_mut().into_iter().for_each(|pace| pace.came(length, now));
                match self.left.checked_sub(length) {
                    Some(left) => self.left = left,
                    None => return self.broken(BodyError::TooLarge(self.bytes_max)),
                }
                (self.counted.bytes)(&self.counted.metrics).add(length);
                Poll::Ready(Some(Ok(frame)))
            }
        }
    }

    /// Nothing has come: waits, for as long as it may take.
    fn poll_timeouts(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let slow_at = self.pace.as_mut().map(|pace| pace.waits_until(Instant::now()));
        if let Some(slow_at) = slow_at.filter(|slow_at| *slow_at < self.silence.deadline()) {
            self.silence.as_mut().reset(slow_at);
        }
        if self.silence.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        let is_slow = slow_at.is_some_and(|slow_at| slow_at <= Instant::now());
        self.broken(if is_slow { BodyError::Slow } else { BodyError::Silent(self.silence_max) })
    }

    /// The end of a body that is not whole; of an answer, its release has lost it.
    fn broken(&self, error: BodyError) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.failed.set(Some(error.failure()));
        self.guard.as_ref().inspect(|guard| guard.under_way().lost());
        Poll::Ready(Some(Err(error)))
    }
}
