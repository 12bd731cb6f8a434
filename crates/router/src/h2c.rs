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
use tokio::net::TcpStream;

use crate::body::ProxyBody;
use crate::connection::OnThisThread;
use crate::table::Table;

/// Requests under way at once on one connection.
const STREAMS_MAX: usize = 100;
/// Connections of one worker to one backend.
const CONNECTIONS_MAX: usize = 32;
/// What may be on its way of one answer. A connection has room for all of its streams, so that a visitor who
/// does not read holds up no other.
const STREAM_WINDOW_BYTES: u32 = 64 << 10;
const CONNECTION_WINDOW_BYTES: u32 = STREAM_WINDOW_BYTES * 100;
const HEADERS_BYTES_MAX: u32 = 64 << 10;
/// A silent backend with requests under way is asked whether it is there.
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a connection is kept that nobody uses.
const IDLE_FOR_MAX: Duration = Duration::from_secs(60);

pub(crate) type Sender = SendRequest<ProxyBody>;

/// Keyed by the backend's key, never by its address: addresses are used again.
#[derive(Default)]
pub(crate) struct H2cPool {
    backends: RefCell<HashMap<String, Rc<Backend>>>,
}

#[derive(Default)]
struct Backend {
    connections: RefCell<Vec<Connection>>,
    /// Held while a connection is opened: those who come meanwhile wait for that one.
    opening: tokio::sync::Mutex<()>,
}

struct Connection {
    opened: Opened,
    streams: Rc<Cell<usize>>,
    used_at: Instant,
}

/// A connection that was just opened.
pub(crate) struct Opened {
    pub(crate) sender: Sender,
    /// Requests under way at once that the app takes.
    streams_max: Rc<Cell<usize>>,
}

/// Counts one request on its connection for as long as it lives.
pub(crate) struct Stream(Rc<Cell<usize>>);

/// A place on a connection.
pub(crate) struct Place {
    pub(crate) sender: Sender,
    pub(crate) stream: Stream,
    /// The connection was there before.
    pub(crate) is_reused: bool,
}

impl H2cPool {
    /// A place on a connection to the backend of this key; `open` makes another where there is none left.
    pub(crate) async fn place<F>(&self, key: &str, open: impl FnOnce() -> F) -> io::Result<Place>
    where
        F: Future<Output = io::Result<TcpStream>>,
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

    /// Lets go of backends that are no longer in the table; their requests under way go on.
    pub(crate) fn keep_only(&self, table: &Table, since: u64) {
        let mut backends = self.backends.borrow_mut();
        match table.gone_since(since) {
            Some(gone) => gone.iter().for_each(|key| drop(backends.remove(key))),
            None => backends.retain(|key, _| table.has_backend(key)),
        }
    }
}

impl Backend {
    fn find(&self) -> Option<Place> {
        let mut connections = self.connections.borrow_mut();
        connections.retain(|connection| !connection.opened.sender.is_closed());
        let has_room = |connection: &&mut Connection| {
            connection.streams.get() < connection.opened.streams_max.get().min(STREAMS_MAX)
        };
        connections.iter_mut().find(has_room).map(|connection| connection.place(true))
    }

    fn add(&self, opened: Opened) -> Place {
        let mut connection = Connection { opened, streams: Rc::default(), used_at: Instant::now() };
        let place = connection.place(false);
        self.connections.borrow_mut().push(connection);
        place
    }
}

impl Connection {
    fn place(&mut self, is_reused: bool) -> Place {
        self.used_at = Instant::now();
        self.streams.set(self.streams.get() + 1);
        Place { sender: self.opened.sender.clone(), stream: Stream(Rc::clone(&self.streams)), is_reused }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// Begins to speak HTTP/2 on a connection, without asking whether the other end does.
pub(crate) async fn handshake(stream: TcpStream) -> io::Result<Opened> {
    let (sender, connection) = http2::Builder::new(OnThisThread)
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_header_list_size(HEADERS_BYTES_MAX)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIMEOUT)
        .handshake(TokioIo::new(stream))
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
        // Its errors reach whoever waits for an answer on it.
        let _ = run.await;
    });
    Ok(Opened { sender, streams_max })
}
