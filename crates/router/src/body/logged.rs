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
}

impl LoggedBody {
    pub(crate) fn new(body: ProxyBody, mut access: Box<LogEntry>) -> Self {
        access.begins_body();
        let left = body.size_hint().exact();
        Self { body, entry: access, left }
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
                if frame.is_trailers() {
                    // Nothing follows, and hyper asks for nothing more.
                    self.entry.ended();
                }
            }
            Poll::Ready(Some(Err(_))) => self.entry.broke_off(),
            Poll::Ready(None) => self.entry.ended(),
            Poll::Pending => {}
        }
        polled
    }

    /// Records that the client is connected and does not take the response.
    pub(crate) fn untaken(&mut self) {
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
        let is_text = matches!(self.body, ProxyBody::Text(_));
        if is_text || self.left == Some(0) || self.body.is_end_stream() {
            self.entry.ended();
        }
    }
}
