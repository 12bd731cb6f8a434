//! Bodies of requests: bounded each in bytes and seconds, and together in the bytes that are held.

use std::collections::HashMap;
use std::future::Future as _;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
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
/// Bytes read and discarded of a body that is too large, or for which there is no room, so that its sender reads the
/// response.
const DISCARDED_BYTES_MAX: u64 = 16 << 20;
/// And how long that may take.
const DISCARDED_WITHIN: Duration = Duration::from_secs(3);

/// Bounds of bodies that handlers read whole.
#[derive(Debug, Clone)]
pub struct BodyLimits {
    /// Of one body.
    pub bytes_max: u64,
    /// Of all bodies that are larger than [`SMALL_BODY_BYTES`].
    pub held_bytes_max: usize,
    /// The same of one source while others hold nothing. The share shrinks with the room that others leave, so that a
    /// few sources do not fill it.
    pub held_bytes_by_source_max: usize,
    /// The same of one user, whatever addresses the requests come from: those that a handler names with
    /// [`RequestHandle::set_user`]. It shrinks likewise.
    pub held_bytes_by_user_max: usize,
    /// From the end of the head to the end of the body.
    pub timeout: Duration,
}

impl Default for BodyLimits {
    fn default() -> Self {
        Self {
            bytes_max: 64 << 10,
            held_bytes_max: 16 << 20,
            held_bytes_by_source_max: 16 << 20,
            held_bytes_by_user_max: 16 << 20,
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
    /// Bodies of this user hold all that they may.
    NoRoomForUser,
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
            Self::NoRoomForSource | Self::NoRoomForUser => StatusCode::TOO_MANY_REQUESTS,
            Self::NoRoom => StatusCode::SERVICE_UNAVAILABLE,
            Self::Broken(_) => StatusCode::BAD_REQUEST,
        }
    }

    /// Returns true if the same request may succeed once others have ended.
    pub fn is_out_of_room(&self) -> bool {
        matches!(self, Self::NoRoom | Self::NoRoomForSource | Self::NoRoomForUser)
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
            Self::NoRoomForUser => {
                formatter.write_str("Too many large requests of this user, try again in a moment.")
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
    by_user: HashMap<Arc<str>, usize>,
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
    /// Set once it is known, before the body is read.
    user: OnceLock<Arc<str>>,
    /// Changed only while `bodies` is locked.
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
        under_way.give_room(Room::new(Arc::clone(self), source));
        let bytes_max = self.limits.bytes_max;
        let is_too_large = body.size_hint().exact().is_some_and(|length| length > bytes_max);
        let mut rest = Rest {
            first,
            body,
            under_way: under_way.clone(),
            received: 0,
            bytes_max,
            timeout: self.limits.timeout,
            until: Box::pin(sleep_until(until)),
            refusal: None,
        };
        if is_too_large {
            rest.refuse(RequestBodyError::TooLarge(bytes_max));
        }
        RequestBody::new(BodyState::Rest(Box::new(rest)), Some(wait))
    }

    fn lock(&self) -> MutexGuard<'_, BufferedBytes> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BufferedBytes {
    /// Counts bytes. Shares are checked first, so that their errors do not blame others; one that others have made small is
    /// no fault of its holder.
    fn take(
        &mut self,
        limits: &BodyLimits,
        source: Option<Source>,
        user: Option<&Arc<str>>,
        bytes: usize,
    ) -> Result<(), RequestBodyError> {
        let of_user = user.and_then(|user| self.by_user.get(user)).copied().unwrap_or(0);
        let user_max = limits.held_bytes_by_user_max;
        if user.is_some() && of_user + bytes > user_max {
            return Err(RequestBodyError::NoRoomForUser);
        }
        let of_source = source.and_then(|source| self.by_source.get(&source)).copied().unwrap_or(0);
        let source_max = limits.held_bytes_by_source_max;
        if source.is_some() && of_source + bytes > source_max {
            return Err(RequestBodyError::NoRoomForSource);
        }
        let is_squeezed = user.is_some() && of_user + bytes > self.share(limits, user_max, of_user)
            || source.is_some() && of_source + bytes > self.share(limits, source_max, of_source);
        if is_squeezed || self.total + bytes > limits.held_bytes_max {
            return Err(RequestBodyError::NoRoom);
        }
        self.total += bytes;
        if let Some(source) = source {
            self.by_source.insert(source, of_source + bytes);
        }
        if let Some(user) = user {
            self.by_user.insert(Arc::clone(user), of_user + bytes);
        }
        Ok(())
    }

    /// Share of somebody who holds so many bytes: the part of the room that others leave which `share_max` is of all.
    fn share(&self, limits: &BodyLimits, share_max: usize, held: usize) -> usize {
        let left_by_others = limits.held_bytes_max.saturating_sub(self.total - held);
        let share = left_by_others as u128 * share_max as u128 / limits.held_bytes_max.max(1) as u128;
        usize::try_from(share).unwrap_or(usize::MAX)
    }

    fn give_back(&mut self, source: Option<Source>, user: Option<&Arc<str>>, bytes: usize) {
        self.total -= bytes;
        if let Some(source) = source {
            subtract(&mut self.by_source, &source, bytes);
        }
        if let Some(user) = user {
            subtract(&mut self.by_user, user, bytes);
        }
    }
}

/// Removes the entry with its last byte.
fn subtract<K: Eq + std::hash::Hash>(held: &mut HashMap<K, usize>, key: &K, bytes: usize) {
    match held.get_mut(key) {
        Some(count) if *count > bytes => *count -= bytes,
        _ => drop(held.remove(key)),
    }
}

impl Room {
    fn new(bodies: Arc<Bodies>, source: Option<Source>) -> Self {
        Self { bodies, source, user: OnceLock::new(), bytes: AtomicUsize::new(0) }
    }

    /// Counts it in the user's share, with the bytes that it holds already.
    pub(super) fn set_user(&self, user: &str) {
        let user = Arc::<str>::from(user);
        let mut held = self.bodies.lock();
        let bytes = self.bytes.load(Ordering::Relaxed);
        if self.user.set(Arc::clone(&user)).is_ok() && bytes > 0 {
            *held.by_user.entry(user).or_default() += bytes;
        }
    }

    fn take(&self, bytes: usize) -> Result<(), RequestBodyError> {
        let mut held = self.bodies.lock();
        held.take(&self.bodies.limits, self.source, self.user.get(), bytes)?;
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
        let bytes = *self.bytes.get_mut();
        if bytes > 0 {
            self.bodies.lock().give_back(self.source, self.user.get(), bytes);
        }
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
    refusal: Option<Refusal>,
}

/// Why no more of a body is handed on: the error comes once the rest has been discarded.
struct Refusal {
    error: RequestBodyError,
    discarded_bytes: u64,
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
                    None => return Poll::Ready(self.refusal.take().map(|refusal| Err(refusal.error))),
                },
            };
            self.received += piece.len() as u64;
            if self.refusal.is_none() {
                match self.take(piece.len()) {
                    Ok(()) => return Poll::Ready(Some(Ok(Frame::data(piece)))),
                    Err(error) => self.refuse(error),
                }
            }
            let discarded = |refusal: &mut Refusal| {
                refusal.discarded_bytes += piece.len() as u64;
                refusal.discarded_bytes > DISCARDED_BYTES_MAX
            };
            if let Some(refusal) = self.refusal.take_if(discarded) {
                return Poll::Ready(Some(Err(refusal.error)));
            }
        }
    }

    fn take(&self, bytes: usize) -> Result<(), RequestBodyError> {
        if self.received > self.bytes_max {
            return Err(RequestBodyError::TooLarge(self.bytes_max));
        }
        self.under_way.room().map_or(Ok(()), |room| room.take(bytes))
    }

    fn refuse(&mut self, error: RequestBodyError) {
        self.until.as_mut().reset(Instant::now() + DISCARDED_WITHIN);
        self.refusal = Some(Refusal { error, discarded_bytes: 0 });
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
                    let refused = self.refusal.take().map(|refusal| refusal.error);
                    return Poll::Ready(Some(
                        Err(refused.unwrap_or(RequestBodyError::TooSlow(self.timeout))),
                    ));
                }
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    /// Takes pieces until none is granted, and returns how many bytes the user then holds.
    fn filled_by(held: &mut BufferedBytes, limits: &BodyLimits, number: usize) -> usize {
        let (source, user) = (Source::V4(number as u32), Arc::<str>::from(format!("user-{number}")));
        while held.take(limits, Some(source), Some(&user), 16 << 10).is_ok() {}
        held.by_user.get(&user).copied().unwrap_or(0)
    }

    #[test]
    fn a_few_users_with_addresses_of_their_own_leave_room_for_a_body_of_another() {
        let limits = BodyLimits {
            held_bytes_max: 32 * MIB,
            held_bytes_by_source_max: 8 * MIB,
            held_bytes_by_user_max: 8 * MIB,
            ..BodyLimits::default()
        };
        let mut held = BufferedBytes::default();

        let shares: Vec<_> = (0..4).map(|number| filled_by(&mut held, &limits, number)).collect();

        assert_eq!(shares, [8 * MIB, 6 * MIB, 9 * MIB / 2, 27 * MIB / 8]);
        assert!(filled_by(&mut held, &limits, 4) > 2 * MIB);
        assert!((5..14).all(|number| filled_by(&mut held, &limits, number) >= 128 << 10));
        let refusal = |held: &mut BufferedBytes, user: &str| {
            held.take(&limits, None, Some(&Arc::from(user)), 16 << 10).expect_err("there is no room").status()
        };
        assert_eq!(refusal(&mut held, "user-0"), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(
            refusal(&mut held, "user-3"),
            StatusCode::SERVICE_UNAVAILABLE,
            "its share is small by others"
        );
    }

    #[test]
    fn a_source_whose_share_is_all_may_fill_the_room() {
        let limits = BodyLimits { held_bytes_max: 16 * MIB, ..BodyLimits::default() };

        assert_eq!(filled_by(&mut BufferedBytes::default(), &limits, 0), 16 * MIB);
    }
}
