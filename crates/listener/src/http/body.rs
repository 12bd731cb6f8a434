//! Bodies of requests: bounded each in bytes and seconds, and together in the bytes that are held.

use std::collections::HashMap;
use std::future::Future as _;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep_until, timeout_at};

use super::connections::BodyWait;
use super::requests::RequestHandle;
use crate::Source;

/// A body of so many bytes is received before the handler is called, and takes nothing from the room for bodies: the
/// number of connections bounds these.
pub const SMALL_BODY_BYTES: usize = 16 << 10;
/// Bytes read and discarded of a body that is too large, so that its sender reads the response.
const THROWN_AWAY_BYTES_MAX: u64 = 16 << 20;
/// And how long that may take.
const THROWN_AWAY_WITHIN: Duration = Duration::from_secs(3);

/// Bounds of bodies that handlers read whole.
#[derive(Debug, Clone)]
pub struct BodyLimits {
    /// Of one body.
    pub bytes_max: u64,
    /// Of all bodies that are larger than [`SMALL_BODY_BYTES`].
    pub held_bytes_max: usize,
    /// The same of one source.
    pub held_bytes_by_source_max: usize,
    /// From the end of the head to the end of the body.
    pub timeout: Duration,
}

impl Default for BodyLimits {
    fn default() -> Self {
        Self {
            bytes_max: 64 << 10,
            held_bytes_max: 16 << 20,
            held_bytes_by_source_max: 16 << 20,
            timeout: Duration::from_secs(60),
        }
    }
}

/// A body that did not arrive whole.
#[derive(Debug)]
pub enum RequestBodyError {
    /// It has more than so many bytes.
    TooLarge(u64),
    /// It took longer than this.
    TooSlow(Duration),
    /// Bodies of this source hold all that they may.
    NoRoomForSource,
    /// All bodies together hold all that they may.
    NoRoom,
    /// The connection broke, or the body is no HTTP.
    Broken(hyper::Error),
}

impl RequestBodyError {
    /// The status that says it.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow(_) => StatusCode::REQUEST_TIMEOUT,
            Self::NoRoomForSource => StatusCode::TOO_MANY_REQUESTS,
            Self::NoRoom => StatusCode::SERVICE_UNAVAILABLE,
            Self::Broken(_) => StatusCode::BAD_REQUEST,
        }
    }

    /// The one that an error is made of, as a library hands it on.
    pub fn within<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(found) = error.downcast_ref::<Self>() {
                return Some(found);
            }
            next = error.source();
        }
        None
    }
}

impl std::fmt::Display for RequestBodyError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooLarge(bytes_max) => write!(formatter, "Request body is larger than {bytes_max} bytes."),
            Self::TooSlow(_) => formatter.write_str("The request took too long."),
            Self::NoRoomForSource => {
                formatter.write_str("Too many large requests from this address, try again in a moment.")
            }
            Self::NoRoom => formatter.write_str("Too many large requests at once, try again in a moment."),
            Self::Broken(_) => formatter.write_str("Request body could not be read."),
        }
    }
}

impl std::error::Error for RequestBodyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Broken(error) => Some(error),
            _ => None,
        }
    }
}

/// Memory that all bodies of a listener hold.
pub(super) struct Bodies {
    limits: BodyLimits,
    held: Mutex<BufferedBytes>,
}

#[derive(Default)]
struct BufferedBytes {
    total: usize,
    by_source: HashMap<Source, usize>,
}

/// What has come of a body before the handler is called.
pub(super) enum Received {
    Whole(Option<Bytes>),
    Begun { first: Option<Bytes>, body: Incoming, until: Instant },
}

/// Memory that one request holds, returned on drop.
pub(super) struct Room {
    bodies: Arc<Bodies>,
    source: Option<Source>,
    bytes: AtomicUsize,
}

impl Bodies {
    pub(super) fn new(limits: BodyLimits) -> Self {
        Self { limits, held: Mutex::default() }
    }

    /// Receives a small body whole, and of one whose length is not told as much as is small.
    pub(super) async fn receive_small(&self, mut body: Incoming) -> Result<Received, RequestBodyError> {
        let until = Instant::now() + self.limits.timeout;
        let length = body.size_hint().exact();
        let mut first = BytesMut::new();
        if length.is_none_or(|length| length <= SMALL_BODY_BYTES as u64) {
            while first.len() <= SMALL_BODY_BYTES && !body.is_end_stream() {
                let frame = timeout_at(until, body.frame()).await;
                let frame = frame.map_err(|_| RequestBodyError::TooSlow(self.limits.timeout))?;
                let Some(frame) = frame else { break };
                if let Ok(data) = frame.map_err(RequestBodyError::Broken)?.into_data() {
                    first.extend_from_slice(&data);
                }
            }
        }
        let first = Some(first.freeze()).filter(|first| !first.is_empty());
        let received = first.as_ref().map_or(0, |first| first.len() as u64);
        // The end of a body whose length is told is known by its last byte.
        let is_whole = body.is_end_stream() || length.is_none() && received <= SMALL_BODY_BYTES as u64;
        if is_whole && received > self.limits.bytes_max {
            return Err(RequestBodyError::TooLarge(self.limits.bytes_max));
        }
        Ok(if is_whole { Received::Whole(first) } else { Received::Begun { first, body, until } })
    }

    /// What a handler reads: what was received, and the rest as it comes.
    pub(super) fn body(
        self: &Arc<Self>,
        received: Received,
        under_way: &RequestHandle,
        wait: BodyWait,
    ) -> RequestBody {
        let (first, body, until) = match received {
            Received::Whole(whole) => return RequestBody::new(BodyState::Whole(whole), None),
            Received::Begun { first, body, until } => (first, body, until),
        };
        let source = under_way.client().0;
        under_way.give_room(Room { bodies: Arc::clone(self), source, bytes: AtomicUsize::new(0) });
        let bytes_max = self.limits.bytes_max;
        let is_too_large = body.size_hint().exact().is_some_and(|length| length > bytes_max);
        let rest = Rest {
            first,
            body,
            under_way: under_way.clone(),
            received: 0,
            bytes_max,
            timeout: self.limits.timeout,
            until: Box::pin(sleep_until(until)),
            thrown_away: is_too_large.then_some(0),
        };
        RequestBody::new(BodyState::Rest(Box::new(rest)), Some(wait))
    }

    fn take(&self, source: Option<Source>, bytes: usize) -> Result<(), RequestBodyError> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.total + bytes > self.limits.held_bytes_max {
            return Err(RequestBodyError::NoRoom);
        }
        if let Some(source) = source {
            let of_source = held.by_source.entry(source).or_default();
            if *of_source + bytes > self.limits.held_bytes_by_source_max {
                return Err(RequestBodyError::NoRoomForSource);
            }
            *of_source += bytes;
        }
        held.total += bytes;
        Ok(())
    }

    fn give_back(&self, source: Option<Source>, bytes: usize) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.total -= bytes;
        let Some(source) = source else { return };
        match held.by_source.get_mut(&source) {
            Some(of_source) if *of_source > bytes => *of_source -= bytes,
            _ => drop(held.by_source.remove(&source)),
        }
    }
}

impl Room {
    fn take(&self, bytes: usize) -> Result<(), RequestBodyError> {
        self.bodies.take(self.source, bytes)?;
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }
}

impl std::fmt::Debug for Room {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Room").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.bodies.give_back(self.source, *self.bytes.get_mut());
    }
}

/// The body of a request.
pub struct RequestBody {
    kind: BodyState,
    /// `None` where all has come.
    wait: Option<BodyWait>,
}

enum BodyState {
    Whole(Option<Bytes>),
    Rest(Box<Rest>),
    /// Limited by its reader.
    Streamed(Incoming),
}

struct Rest {
    first: Option<Bytes>,
    body: Incoming,
    under_way: RequestHandle,
    received: u64,
    bytes_max: u64,
    timeout: Duration,
    until: Pin<Box<Sleep>>,
    /// Bytes thrown away since it is known to be too large.
    thrown_away: Option<u64>,
}

impl RequestBody {
    fn new(kind: BodyState, wait: Option<BodyWait>) -> Self {
        Self { kind, wait }
    }

    pub(super) fn streamed(body: Incoming, wait: BodyWait) -> Self {
        Self::new(BodyState::Streamed(body), Some(wait))
    }
}

impl Rest {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        loop {
            let piece = match self.first.take() {
                Some(first) => first,
                None => match ready!(self.poll_piece(context)) {
                    Some(Ok(piece)) => piece,
                    Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                    None if self.thrown_away.is_some() => return Poll::Ready(Some(Err(self.too_large()))),
                    None => return Poll::Ready(None),
                },
            };
            self.received += piece.len() as u64;
            if self.received > self.bytes_max && self.thrown_away.is_none() {
                self.thrown_away = Some(0);
            }
            if let Some(thrown_away) = &mut self.thrown_away {
                if *thrown_away == 0 {
                    self.until.as_mut().reset(Instant::now() + THROWN_AWAY_WITHIN);
                }
                *thrown_away += piece.len() as u64;
                if *thrown_away > THROWN_AWAY_BYTES_MAX {
                    return Poll::Ready(Some(Err(self.too_large())));
                }
                continue;
            }
            let taken = self.under_way.room().map_or(Ok(()), |room| room.take(piece.len()));
            return Poll::Ready(Some(taken.map(|()| Frame::data(piece))));
        }
    }

    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, RequestBodyError>>> {
        loop {
            match Pin::new(&mut self.body).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        return Poll::Ready(Some(Ok(data)));
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    return Poll::Ready(Some(Err(RequestBodyError::Broken(error))));
                }
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => {
                    ready!(self.until.as_mut().poll(context));
                    let error = match self.thrown_away {
                        Some(_) => self.too_large(),
                        None => RequestBodyError::TooSlow(self.timeout),
                    };
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
    }

    fn too_large(&self) -> RequestBodyError {
        RequestBodyError::TooLarge(self.bytes_max)
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        let polled = match &mut self.kind {
            BodyState::Whole(whole) => {
                let whole = whole.take().filter(|whole| !whole.is_empty());
                Poll::Ready(whole.map(|whole| Ok(Frame::data(whole))))
            }
            BodyState::Rest(rest) => rest.poll(context),
            BodyState::Streamed(body) => Pin::new(body)
                .poll_frame(context)
                .map(|frame| frame.map(|frame| frame.map_err(RequestBodyError::Broken))),
        };
        if let Some(wait) = &mut self.wait {
            wait.note(polled.is_pending());
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            BodyState::Whole(whole) => whole.as_ref().is_none_or(Bytes::is_empty),
            BodyState::Rest(_) => false,
            BodyState::Streamed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            BodyState::Whole(whole) => SizeHint::with_exact(whole.as_ref().map_or(0, Bytes::len) as u64),
            BodyState::Rest(rest) if rest.first.is_none() && rest.received == 0 => rest.body.size_hint(),
            BodyState::Rest(_) => SizeHint::default(),
            BodyState::Streamed(body) => body.size_hint(),
        }
    }
}
