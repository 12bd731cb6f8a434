//! Connecting to backends over TCP, with a PROXY header first if the app wants one.

pub(crate) mod h2c;
pub(crate) mod pool;

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use domain::edge::ProxyHeader;
use domain::routing::Backend;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::limits::connections::UpstreamSlot;
use crate::listen::proxy_protocol;
use crate::listen::worker::WorkerState;
use crate::table::site::Site;

/// A connection to a backend, counted among those that there may be.
pub(crate) struct Upstream {
    stream: TcpStream,
    /// An app that closes within a request may have answered it before: later writes are dropped, and reading gets
    /// the response.
    outlives_hangup: bool,
    has_hung_up: bool,
    _place: UpstreamSlot,
}

/// Opens a connection to the backend on behalf of `source`.
pub(crate) async fn open(
    shared: &WorkerState,
    site: &Site,
    backend: &Backend,
    source: SocketAddr,
) -> io::Result<Upstream> {
    let connect_timeout = site.rules.connect_timeout.unwrap_or(shared.settings.connect_timeout);
    let place = match shared.connections.upstream() {
        Some(place) => place,
        None => {
            shared.drop_idle_upstreams();
            shared.connections.upstream().ok_or_else(|| io::Error::other("too many connections to apps"))?
        }
    };
    let header = site.rules.proxy_header;
    let stream = match timeout(connect_timeout, connect(header, backend, source)).await? {
        Err(error) if is_out_of_files(&error) => {
            shared.make_room_for_files();
            timeout(connect_timeout, connect(header, backend, source)).await??
        }
        connected => connected?,
    };
    Ok(Upstream { stream, outlives_hangup: false, has_hung_up: false, _place: place })
}

/// Returns true if the process or the system is out of files (EMFILE, ENFILE).
pub(crate) fn is_out_of_files(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(23 | 24))
}

async fn connect(
    header: Option<ProxyHeader>,
    backend: &Backend,
    source: SocketAddr,
) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(backend.address).await?;
    stream.set_nodelay(true)?;
    if let Some(version) = header {
        stream.write_all(&proxy_protocol::header(version, source, backend.address)).await?;
    }
    Ok(stream)
}

impl Upstream {
    /// For a library that gives a request up as soon as it cannot write it.
    pub(crate) fn outliving_hangups(mut self) -> Self {
        self.outlives_hangup = true;
        self
    }

    pub(crate) fn try_read(&self, into: &mut [u8]) -> io::Result<usize> {
        self.stream.try_read(into)
    }

    /// Handles the result of a write of `whole` bytes.
    fn written(&mut self, wrote: Poll<io::Result<usize>>, whole: usize) -> Poll<io::Result<usize>> {
        match wrote {
            Poll::Ready(Err(error)) if self.outlives_hangup && is_hangup(&error) => {
                self.has_hung_up = true;
                Poll::Ready(Ok(whole))
            }
            wrote => wrote,
        }
    }
}

fn is_hangup(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

impl AsyncRead for Upstream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl AsyncWrite for Upstream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.has_hung_up {
            return Poll::Ready(Ok(bytes.len()));
        }
        let wrote = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.written(wrote, bytes.len())
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let whole = || slices.iter().map(|slice| slice.len()).sum();
        if self.has_hung_up {
            return Poll::Ready(Ok(whole()));
        }
        let wrote = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.written(wrote, whole())
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
