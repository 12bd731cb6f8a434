//! A stream that notes when its client does not take what is sent.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Weak;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::connections::Slot;

/// A client that takes nothing for so long is one that is waited for: slow networks pause, too.
const STALLED_AFTER: Duration = Duration::from_secs(5);

pub(super) struct Taken<S> {
    stream: S,
    slot: Weak<Slot>,
    /// While there is no room for more.
    stalled: Option<Stalled>,
}

struct Stalled {
    until: Pin<Box<Sleep>>,
    is_told: bool,
}

impl<S> Taken<S> {
    pub(super) fn new(stream: S, slot: Weak<Slot>) -> Self {
        Self { stream, slot, stalled: None }
    }

    fn note<T>(&mut self, written: Poll<T>, context: &mut Context<'_>) -> Poll<T> {
        if written.is_ready() {
            if self.stalled.take().is_some_and(|stalled| stalled.is_told) {
                self.tell(true);
            }
            return written;
        }
        let new = || Stalled { until: Box::pin(sleep(STALLED_AFTER)), is_told: false };
        let stalled = self.stalled.get_or_insert_with(new);
        if !stalled.is_told && stalled.until.as_mut().poll(context).is_ready() {
            stalled.is_told = true;
            self.tell(false);
        }
        written
    }

    fn tell(&self, is_taken: bool) {
        if let Some(slot) = self.slot.upgrade() {
            slot.is_taken(is_taken);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Taken<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Taken<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.note(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.note(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
