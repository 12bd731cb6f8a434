//! Connections of HTTP/2 to backends; one pool per worker.
//!
//! One connection carries many requests of a worker. Another is opened when that has as many as it may, so that
//! long streams keep nobody waiting: the bound is the app's own, and ours.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioIo, TokioTimer};

use crate::body::ProxyBody;
use crate::table::Table;
use crate::upstream::Upstream;

/// Requests under way at once on one connection.
const STREAMS_MAX: usize = 100;
/// Connections of one worker to one backend.
const CONNECTIONS_MAX: usize = 32;
/// Flow control window of one response. A connection has room for all of its streams, so that a client that does
/// not read delays no other.
const STREAM_WINDOW_BYTES: u32 = 64 << 10;
const CONNECTION_WINDOW_BYTES: u32 = STREAM_WINDOW_BYTES * 100;
const HEADERS_BYTES_MAX: u32 = 64 << 10;
/// Interval of pings to a silent backend with requests under way.
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// Time for which an unused connection is kept.
const IDLE_FOR_MAX: Duration = Duration::from_secs(60);

pub(crate) type H2cSender = SendRequest<ProxyBody>;

/// Keyed by the backend's key, never by its address: addresses are used again.
#[derive(Default)]
pub(crate) struct H2cPool {
    backends: RefCell<HashMap<String, Rc<BackendConnections>>>,
}

#[derive(Default)]
struct BackendConnections {
    connections: RefCell<Vec<H2cConnection>>,
    /// Held while a connection is opened: other requests wait for that one.
    opening: tokio::sync::Mutex<()>,
}

struct H2cConnection {
    opened: NewConnection,
    streams: Rc<Cell<usize>>,
    used_at: Instant,
}

/// A connection that was just opened.
pub(crate) struct NewConnection {
    pub(crate) sender: H2cSender,
    /// Concurrent requests that the app accepts.
    streams_max: Rc<Cell<usize>>,
}

/// Counts one request on its connection for as long as it lives.
pub(crate) struct StreamCount(Rc<Cell<usize>>);

/// A place on a connection.
pub(crate) struct StreamSlot {
    pub(crate) sender: H2cSender,
    pub(crate) stream: StreamCount,
    /// The connection was there before.
    pub(crate) is_reused: bool,
}

impl H2cPool {
    /// A place on a connection to the backend of this key; `open` makes another where there is none left.
    pub(crate) async fn place<F>(&self, key: &str, open: impl FnOnce() -> F) -> io::Result<StreamSlot>
    where
        F: Future<Output = io::Result<Upstream>>,
    {
        let backend = Rc::clone(self.backends.borrow_mut().entry(key.to_owned()).or_default());
        if let Some(place) = backend.find() {
            return Ok(place);
        }
        let _opening = backend.opening.lock().await;
        if let Some(place) = backend.find() {
            return Ok(place);
        }
        if backend.connections.borrow().len() >= CONNECTIONS_MAX {
            return Err(io::Error::other("all connections to the backend are in use"));
        }
        let opened = handshake(open().await?).await?;
        Ok(backend.add(opened))
    }

    /// Closes connections that nobody has used for a while.
    pub(crate) fn drop_idle(&self) {
        self.backends.borrow_mut().retain(|_, backend| {
            let mut connections = backend.connections.borrow_mut();
            connections.retain(|connection| {
                let is_used = connection.streams.get() > 0 || connection.used_at.elapsed() < IDLE_FOR_MAX;
                is_used && !connection.opened.sender.is_closed()
            });
            !connections.is_empty() || Rc::strong_count(backend) > 1
        });
    }

    /// Drops backends that are no longer in the table; their requests under way continue.
    pub(crate) fn keep_only(&self, table: &Table, since: u64) {
        let mut backends = self.backends.borrow_mut();
        match table.gone_since(since) {
            Some(gone) => gone.iter().for_each(|key| drop(backends.remove(key))),
            None => backends.retain(|key, _| table.has_backend(key)),
        }
    }
}

impl BackendConnections {
    fn find(&self) -> Option<StreamSlot> {
        let mut connections = self.connections.borrow_mut();
        connections.retain(|connection| !connection.opened.sender.is_closed());
        let has_room = |connection: &&mut H2cConnection| {
            connection.streams.get() < connection.opened.streams_max.get().min(STREAMS_MAX)
        };
        connections.iter_mut().find(has_room).map(|connection| connection.place(true))
    }

    fn add(&self, opened: NewConnection) -> StreamSlot {
        let mut connection = H2cConnection { opened, streams: Rc::default(), used_at: Instant::now() };
        let place = connection.place(false);
        self.connections.borrow_mut().push(connection);
        place
    }
}

impl H2cConnection {
    fn place(&mut self, is_reused: bool) -> StreamSlot {
        self.used_at = Instant::now();
        self.streams.set(self.streams.get() + 1);
        StreamSlot {
            sender: self.opened.sender.clone(),
            stream: StreamCount(Rc::clone(&self.streams)),
            is_reused,
        }
    }
}

impl Drop for StreamCount {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// Begins to speak HTTP/2 on a connection, without asking whether the other end does.
pub(crate) async fn handshake(stream: Upstream) -> io::Result<NewConnection> {
    let (sender, connection) = http2::Builder::new(OnThisThread)
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_header_list_size(HEADERS_BYTES_MAX)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIMEOUT)
        .handshake(TokioIo::new(stream.outliving_hangups()))
        .await
        .map_err(io::Error::other)?;
    let streams_max = Rc::new(Cell::new(STREAMS_MAX));
    let (mut connection, max) = (Box::pin(connection), Rc::clone(&streams_max));
    let run = std::future::poll_fn(move |cx| {
        let polled = connection.as_mut().poll(cx);
        max.set(connection.current_max_send_streams());
        polled
    });
    tokio::task::spawn_local(async move {
        // Its errors reach the requests that wait for a response on it.
        let _ = run.await;
    });
    Ok(NewConnection { sender, streams_max })
}

/// Requests of one connection run on its worker's thread.
#[derive(Clone, Copy)]
pub(crate) struct OnThisThread;

impl<F: Future + 'static> hyper::rt::Executor<F> for OnThisThread {
    fn execute(&self, future: F) {
        // Its end is seen by the connection.
        drop(tokio::task::spawn_local(async move { drop(future.await) }));
    }
}
