//! The body of a response whose request is logged when it ends.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::{BodyError, ProxyBody};
use crate::access_log::app_log::LogEntry;

/// The body of an answer whose request is logged when it ends.
pub(crate) struct LoggedBody {
    body: ProxyBody,
    entry: Box<LogEntry>,
    /// Bytes that still come, where that is known.
    left: Option<u64>,
    has_ended: bool,
}

impl LoggedBody {
    pub(crate) fn new(body: ProxyBody, access: Box<LogEntry>) -> Self {
        let left = body.size_hint().exact();
        Self { body, entry: access, left, has_ended: false }
    }

    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
                self.entry.sent(bytes);
                self.left = self.left.map(|left| left.saturating_sub(bytes));
            }
            Poll::Ready(Some(Err(_))) => {
                self.has_ended = true;
                self.entry.broke_off();
            }
            Poll::Ready(None) => self.has_ended = true,
            Poll::Pending => {}
        }
        polled
    }

    /// Records that the client is connected and does not take the response.
    pub(crate) fn untaken(&mut self) {
        self.has_ended = true;
        self.entry.untaken();
    }

    pub(crate) fn is_over(&self) -> bool {
        self.body.is_end_stream()
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The sender of a response stops after its last byte; before that, a drop means that the client does not take it.
impl Drop for LoggedBody {
    fn drop(&mut self) {
        // A text of the router's own is not asked for in answers to HEAD.
        let is_whole = self.has_ended || self.left == Some(0) || self.body.is_end_stream();
        if !is_whole && !matches!(self.body, ProxyBody::Text(_)) {
            self.entry.left_behind();
        }
    }
}
