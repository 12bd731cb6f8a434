//! The one body type of requests to backends and answers to visitors.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use crate::app_log::{Access, Told};
use crate::compress::{Compressed, Encoder};
use crate::metrics::{AppMetrics, Count};
use crate::table::InFlightGuard;

/// Why a body ended early.
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
}

/// A body that streams through, or a short text of the router's own.
pub(crate) enum ProxyBody {
    Text(Option<Bytes>),
    Streamed(Box<Streamed>),
    Compressed(Box<Compressed>),
    /// One of these, of an app that wants its requests told.
    Told(Box<Told>),
}

/// A body on its way, with its bounds; holds the count of requests under way until it has ended.
pub(crate) struct Streamed {
    incoming: Incoming,
    left: u64,
    bytes_max: u64,
    silence_max: Duration,
    silence: Pin<Box<Sleep>>,
    counted: Counted,
    guard: Option<InFlightGuard>,
}

/// Which of an app's counters the bytes of a body go to.
struct Counted {
    metrics: Arc<AppMetrics>,
    bytes: fn(&AppMetrics) -> &Count,
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
        let counted = Counted { metrics, bytes: |metrics| &metrics.bytes_in };
        Self::streamed(incoming, bytes_max.unwrap_or(u64::MAX), silence_max, counted, None)
    }

    /// An answer's body.
    pub(crate) fn answer(incoming: Incoming, silence_max: Duration, guard: InFlightGuard) -> Self {
        let metrics = Arc::clone(guard.metrics());
        let counted = Counted { metrics, bytes: |metrics| &metrics.bytes_out };
        Self::streamed(incoming, u64::MAX, silence_max, counted, Some(guard))
    }

    /// Whether it comes from the other side, of whatever length.
    pub(crate) fn is_streamed(&self) -> bool {
        matches!(self, Self::Streamed(streamed) if !streamed.incoming.is_end_stream())
    }

    /// The same body, compressed; others than streamed ones stay as they are.
    pub(crate) fn compressed(self, encoder: Encoder) -> Self {
        match self {
            Self::Streamed(streamed) => Self::Compressed(Box::new(Compressed::new(*streamed, encoder))),
            other => other,
        }
    }

    /// The same body, whose end is told.
    pub(crate) fn told(self, access: Box<Access>) -> Self {
        Self::Told(Box::new(Told::new(self, access)))
    }

    /// The release that it comes from.
    pub(crate) fn release(&self) -> Option<u64> {
        match self {
            Self::Streamed(streamed) => streamed.guard.as_ref().map(|guard| guard.under_way().release()),
            Self::Text(_) | Self::Compressed(_) | Self::Told(_) => None,
        }
    }

    fn streamed(
        incoming: Incoming,
        bytes_max: u64,
        silence_max: Duration,
        counted: Counted,
        guard: Option<InFlightGuard>,
    ) -> Self {
        let silence = Box::pin(tokio::time::sleep(silence_max));
        let streamed =
            Streamed { incoming, left: bytes_max, bytes_max, silence_max, silence, counted, guard };
        Self::Streamed(Box::new(streamed))
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
            Self::Compressed(compressed) => compressed.poll_frame(cx),
            Self::Told(told) => told.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Text(text) => text.is_none(),
            Self::Streamed(streamed) => streamed.incoming.is_end_stream(),
            Self::Compressed(compressed) => compressed.is_over(),
            Self::Told(told) => told.is_over(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Text(text) => SizeHint::with_exact(text.as_ref().map_or(0, |text| text.len() as u64)),
            Self::Streamed(streamed) => streamed.incoming.size_hint(),
            Self::Compressed(_) => SizeHint::default(),
            Self::Told(told) => told.size_hint(),
        }
    }
}

impl Streamed {
    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match Pin::new(&mut self.incoming).poll_frame(cx) {
            Poll::Pending => match self.silence.as_mut().poll(cx) {
                Poll::Ready(()) => self.broken(BodyError::Silent(self.silence_max)),
                Poll::Pending => Poll::Pending,
            },
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Ready(Some(Err(error))) => self.broken(error.into()),
            Poll::Ready(Some(Ok(frame))) => {
                self.silence.as_mut().reset(Instant::now() + self.silence_max);
                let length = frame.data_ref().map_or(0, |data| data.len() as u64);
                match self.left.checked_sub(length) {
                    Some(left) => self.left = left,
                    None => return Poll::Ready(Some(Err(BodyError::TooLarge(self.bytes_max)))),
                }
                (self.counted.bytes)(&self.counted.metrics).add(length);
                Poll::Ready(Some(Ok(frame)))
            }
        }
    }

    /// The end of a body that is not whole; of an answer, its release has lost it.
    fn broken(&self, error: BodyError) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.guard.as_ref().inspect(|guard| guard.under_way().lost());
        Poll::Ready(Some(Err(error)))
    }
}
