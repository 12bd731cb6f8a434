//! Connecting to backends over TCP, with a PROXY header first if the app wants one.

pub(crate) mod h2c;
pub(crate) mod pool;
pub(crate) mod proxy_header;

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use domain::edge::ProxyHeader;
use domain::routing::Backend;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;

use self::h2c::H2cPool;
use self::pool::{Pool, Sender};
use crate::http1::buffered_stream::BufferedStream;
use crate::limits::connections::{Connections, UpstreamSlot, WorkerConnections};
use crate::table::Table;
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

/// Connections of one worker to backends, pooled for each path and kept within the bound of all workers.
pub(crate) struct Upstreams {
    /// Those of the slow path, and of the fast one.
    pub(crate) slow: Pool<Sender>,
    pub(crate) fast: Pool<BufferedStream<Upstream>>,
    pub(crate) h2c: H2cPool,
    pub(crate) connect_timeout: Duration,
    connections: Arc<Connections>,
    visitors: Rc<WorkerConnections>,
}

impl Upstreams {
    pub(crate) fn new(
        connect_timeout: Duration,
        connections: &Arc<Connections>,
        visitors: &Rc<WorkerConnections>,
    ) -> Self {
        Self {
            slow: Pool::default(),
            fast: Pool::default(),
            h2c: H2cPool::default(),
            connect_timeout,
            connections: Arc::clone(connections),
            visitors: Rc::clone(visitors),
        }
    }

    /// Opens a connection to the backend on behalf of `source`.
    pub(crate) async fn open(
        &self,
        site: &Site,
        backend: &Backend,
        source: SocketAddr,
    ) -> io::Result<Upstream> {
        let connect_timeout = site.rules.connect_timeout.unwrap_or(self.connect_timeout);
        let place = match self.connections.upstream() {
            Some(place) => place,
            None => {
                self.clear();
                self.connections.upstream().ok_or_else(|| io::Error::other("too many connections to apps"))?
            }
        };
        let header = site.rules.proxy_header;
        let stream = match timeout(connect_timeout, connect(header, backend, source)).await? {
            Err(error) if is_out_of_files(&error) => {
                self.make_room_for_files();
                timeout(connect_timeout, connect(header, backend, source)).await??
            }
            connected => connected?,
        };
        Ok(Upstream { stream, outlives_hangup: false, has_hung_up: false, _place: place })
    }

    /// Closes connections to backends that have left the table since it had this version.
    pub(crate) fn keep_only(&self, table: &Table, since: u64) {
        self.slow.keep_only(table, since);
        self.fast.keep_only(table, since);
        self.h2c.keep_only(table, since);
    }

    /// Closes connections that nobody has used for a while.
    pub(crate) fn drop_idle(&self) {
        self.slow.drop_idle();
        self.h2c.drop_idle();
        self.fast.drop_idle();
    }

    /// Closes what nobody needs at this moment: the process has no more files.
    pub(crate) fn make_room_for_files(&self) {
        self.clear();
        self.visitors.shed(None);
    }

    /// Closes connections that wait for a request.
    fn clear(&self) {
        self.slow.clear();
        self.fast.clear();
    }
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
        stream.write_all(&proxy_header::header(version, source, backend.address)).await?;
    }
    Ok(stream)
}

impl Upstream {
    /// For a library that gives a request up as soon as it cannot write it.
    pub(crate) fn outliving_hangups(mut self) -> Self {
        self.outlives_hangup = true;
        self
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

impl BufferedStream<Upstream> {
    /// Returns true if another request may be sent: the connection is open and has no unrequested data.
    pub(crate) fn is_at_rest(&self) -> bool {
        let nothing = self.stream().stream.try_read(&mut [0]);
        self.unread().is_empty() && matches!(nothing, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
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
