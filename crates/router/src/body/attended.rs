//! Responses of the slow path, and the abort of those that a client does not take.
//!
//! hyper polls for more of a response when it can send; while a client takes nothing, it does not poll. A worker
//! checks its responses periodically and drops those that were not polled for too long.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::Response;
use tokio::time::Instant;

use crate::body::{BodyError, ProxyBody};
use crate::limits::connections::StreamHandle;
use crate::limits::pace::{LeastRate, Pace};

/// The responses of one worker that are under way.
pub(crate) struct AttendedResponses {
    answers: RefCell<Vec<Weak<AttendedResponse>>>,
    looked_at: Cell<Option<Instant>>,
    stall_max: Duration,
    rate: LeastRate,
}

struct AttendedResponse {
    /// `None` where it was let go of.
    body: RefCell<Option<ProxyBody>>,
    /// Time since when its client has data to take and has not asked for more.
    handed_at: Cell<Option<Instant>>,
    /// Rate at which it takes the response.
    pace: RefCell<Pace>,
    attended: Option<Rc<StreamHandle>>,
    /// The connection carries no other.
    is_alone: bool,
}

/// Body of a response; its request is under way for as long as it lives.
pub(crate) struct AttendedBody(Rc<AttendedResponse>);

impl AttendedResponses {
    /// Clients of this value may take nothing for `stall_max`, and must take `rate` on average.
    pub(crate) fn new(stall_max: Duration, rate: LeastRate) -> Self {
        Self { answers: RefCell::default(), looked_at: Cell::new(None), stall_max, rate }
    }

    /// Looks after an answer from now on.
    pub(crate) fn attend(
        &self,
        answer: Response<ProxyBody>,
        attended: Rc<StreamHandle>,
        is_alone: bool,
    ) -> Response<AttendedBody> {
        answer.map(|body| {
            let is_long = !matches!(body, ProxyBody::Text(_));
            let body = RefCell::new(Some(body));
            let attended = Some(attended);
            let answer =
                Rc::new(AttendedResponse { body, attended, is_alone, ..AttendedResponse::new(self.rate) });
            if is_long {
                self.answers.borrow_mut().push(Rc::downgrade(&answer));
            }
            AttendedBody(answer)
        })
    }

    /// Drops responses that their clients do not take.
    pub(crate) fn drop_stalled(&self) {
        let now = Instant::now();
        // Often enough, and not at each turn.
        let pause = (self.stall_max / 8).min(Duration::from_secs(1));
        if self.looked_at.get().is_some_and(|at| now.duration_since(at) < pause) {
            return;
        }
        self.looked_at.set(Some(now));
        let mut stalled = Vec::new();
        self.answers.borrow_mut().retain(|answer| {
            let Some(answer) = answer.upgrade() else { return false };
            let stall_max = self.stall_max.min(answer.pace.borrow().left());
            let is_stalled = answer.handed_at.get().is_some_and(|at| now.duration_since(at) >= stall_max);
            if is_stalled {
                stalled.push(answer);
            }
            !is_stalled
        });
        stalled.iter().for_each(|answer| answer.let_go());
    }
}

impl AttendedResponse {
    fn new(rate: LeastRate) -> Self {
        let pace = RefCell::new(Pace::new(rate));
        Self { body: RefCell::default(), handed_at: Cell::new(None), pace, attended: None, is_alone: false }
    }

    fn let_go(&self) {
        if let Some(attended) = self.attended.as_ref().filter(|_| self.is_alone) {
            attended.connection().end();
        }
        // The app's connection ends with it.
        if let Some(ProxyBody::Logged(mut body)) = self.body.take() {
            body.untaken();
        }
    }
}

impl AttendedBody {
    /// A short text for a request that is not looked after.
    pub(crate) fn unattended(body: ProxyBody) -> Self {
        let rate = LeastRate { bytes_per_second: 1, grace: Duration::MAX };
        Self(Rc::new(AttendedResponse { body: RefCell::new(Some(body)), ..AttendedResponse::new(rate) }))
    }
}

impl Body for AttendedBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let answer = &self.0;
        if let Some(at) = answer.handed_at.take() {
            answer.pace.borrow_mut().went(0, at.elapsed());
        }
        let mut body = answer.body.borrow_mut();
        let Some(body) = body.as_mut() else { return Poll::Ready(Some(Err(BodyError::Untaken))) };
        let polled = Pin::new(body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
            answer.pace.borrow_mut().went(bytes, Duration::ZERO);
            answer.handed_at.set(Some(Instant::now()));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.0.body.borrow().as_ref().is_some_and(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.0.body.borrow().as_ref().map(Body::size_hint).unwrap_or_default()
    }
}
