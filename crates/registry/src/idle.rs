//! Ends a body whose sender has gone quiet.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

type Error = Box<dyn std::error::Error + Send + Sync>;

/// A body that fails when so much time passes between two of its parts.
pub struct IdleBound<B> {
    body: B,
    bound: Duration,
    timer: Pin<Box<Sleep>>,
}

impl<B> IdleBound<B> {
    pub fn new(body: B, bound: Duration) -> Self {
        Self { body, bound, timer: Box::pin(tokio::time::sleep(bound)) }
    }
}

impl<B> Body for IdleBound<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Error>,
{
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            let next = Instant::now() + self.bound;
            self.timer.as_mut().reset(next);
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        self.timer.as_mut().poll(context).map(|()| Some(Err("its sender has gone quiet".into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
