//! A connection whose first bytes were read already, and are read again.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::buffered_stream::BufferedStream;

pub(crate) struct RewindStream<S> {
    stream: S,
    /// Bytes to read before everything else, from `at` on.
    first: Vec<u8>,
    at: usize,
}

impl<S: AsyncRead + AsyncWrite + Unpin> RewindStream<S> {
    pub(crate) fn new(line: BufferedStream<S>) -> Self {
        let (stream, first) = line.into_parts();
        Self { stream, first, at: 0 }
    }

    /// A connection of which nothing was read.
    pub(crate) fn untouched(stream: S) -> Self {
        Self { stream, first: Vec::new(), at: 0 }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for RewindStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let first = &this.first[this.at..];
        if first.is_empty() {
            return Pin::new(&mut this.stream).poll_read(cx, into);
        }
        let count = first.len().min(into.remaining());
        into.put_slice(&first[..count]);
        this.at += count;
        if this.at == this.first.len() {
            (this.first, this.at) = (Vec::new(), 0);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for RewindStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use tokio::io::AsyncReadExt as _;
    use tokio::time::Instant;

    use super::*;
    use crate::http1::buffer::Buffers;
    use crate::http1::buffered_stream::DeadlineTimer;

    #[tokio::test]
    async fn what_was_read_is_read_again_before_the_rest() {
        let (mut visitor, ours) = tokio::io::duplex(64);
        tokio::io::AsyncWriteExt::write_all(&mut visitor, b"GET /").await.expect("written");
        let mut line = BufferedStream::new(ours, &Rc::new(Buffers::default()));
        let until = Instant::now() + std::time::Duration::from_secs(10);
        line.fill(&mut DeadlineTimer::new(until), until, 1_024).await.expect("it came");
        line.consume(1);
        tokio::io::AsyncWriteExt::write_all(&mut visitor, b" HTTP").await.expect("written");
        drop(visitor);

        let mut text = String::new();
        RewindStream::new(line).read_to_string(&mut text).await.expect("text");

        assert_eq!(text, "ET / HTTP");
    }
}
