//! An SSH connection's socket with a limit on bytes read beside channel data.
//!
//! Before authentication those are all bytes: a few KiB of keys. Afterwards they are window adjustments and
//! keepalives; a client that sends much more requests key exchanges without end.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Bytes that may be read until a connection is authenticated: 20 keys with their signatures take a third of it.
const UNAUTHENTICATED_BYTES_MAX: u64 = 128 << 10;
/// Bytes beside channel data that may be read afterwards, until more data comes.
const OVERHEAD_BYTES_MAX: u64 = 8 << 20;
/// Bytes around a packet: lengths, padding and authentication code (RFC 4253, section 6).
const PACKET_OVERHEAD_BYTES: u64 = 256;

/// Bytes that may still be read; clones share it.
#[derive(Clone)]
pub(crate) struct ByteBudget(Arc<AtomicU64>);

impl ByteBudget {
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicU64::new(UNAUTHENTICATED_BYTES_MAX)))
    }

    /// The connection is authenticated.
    pub(crate) fn widen(&self) {
        self.0.store(OVERHEAD_BYTES_MAX, Ordering::Relaxed);
    }

    /// A packet did what an authenticated connection is for: it takes nothing of the allowance.
    pub(crate) fn give_back(&self, payload_bytes: u64) {
        let more = payload_bytes.saturating_add(PACKET_OVERHEAD_BYTES);
        let given = |left: u64| Some(left.saturating_add(more).min(OVERHEAD_BYTES_MAX));
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, given);
    }

    fn take(&self, read_bytes: u64) -> bool {
        let taken = |left: u64| left.checked_sub(read_bytes);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken).is_ok()
    }
}

/// The socket; reading fails once the allowance is used up.
pub(crate) struct MeteredStream {
    stream: TcpStream,
    allowance: ByteBudget,
}

impl MeteredStream {
    pub(crate) fn new(stream: TcpStream, allowance: ByteBudget) -> Self {
        Self { stream, allowance }
    }
}

impl AsyncRead for MeteredStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before_bytes = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let read_bytes = (buffer.filled().len() - before_bytes) as u64;
        if !self.allowance.take(read_bytes) {
            let reason = "the client sent more than it may beside channel data";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::QuotaExceeded, reason)));
        }
        read
    }
}

impl AsyncWrite for MeteredStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_free_and_everything_else_is_bounded() {
        let allowance = ByteBudget::new();
        assert!(allowance.take(UNAUTHENTICATED_BYTES_MAX) && !allowance.take(1));

        allowance.widen();
        for _ in 0..1_000 {
            assert!(allowance.take((32 << 10) + 60));
            allowance.give_back(32 << 10);
        }
        assert!(allowance.take(OVERHEAD_BYTES_MAX) && !allowance.take(1));
    }
}
