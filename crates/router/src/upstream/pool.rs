//! Connections to backends, kept open for the next request; one pool per worker and path.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::{Duration, Instant};

use hyper::client::conn::http1::SendRequest;

use crate::body::ProxyBody;
use crate::http1::buffered_stream::BufferedStream;
use crate::table::Table;
use crate::upstream::Upstream;

/// Idle connections kept per backend. Their number follows the recent load, as idle ones are closed soon; the
/// limit only keeps a burst from holding all files of the system.
const IDLE_PER_BACKEND_MAX: usize = 1_024;
/// App servers close idle connections after two seconds at the earliest (gunicorn's default); a
/// connection that is about to be closed by its peer must not be used for a request with a body.
const IDLE_FOR_MAX: Duration = Duration::from_millis(1_500);

pub(crate) type Sender = SendRequest<ProxyBody>;

/// A connection between two requests.
pub(crate) trait Idle {
    /// Returns true if it accepts another request.
    fn is_ready(&self) -> bool;
}

impl Idle for Sender {
    fn is_ready(&self) -> bool {
        SendRequest::is_ready(self)
    }
}

impl Idle for BufferedStream<Upstream> {
    fn is_ready(&self) -> bool {
        self.is_at_rest()
    }
}

/// Keyed by the backend's key, never by its address: addresses are used again.
pub(crate) struct Pool<C> {
    idle: RefCell<HashMap<String, Vec<(C, Instant)>>>,
}

impl<C> Default for Pool<C> {
    fn default() -> Self {
        Self { idle: RefCell::default() }
    }
}

impl<C: Idle> Pool<C> {
    /// The connection that was used last and is still open.
    pub(crate) fn take(&self, key: &str) -> Option<C> {
        let mut idle = self.idle.borrow_mut();
        let connections = idle.get_mut(key)?;
        while let Some((connection, since)) = connections.pop() {
            if connection.is_ready() && since.elapsed() < IDLE_FOR_MAX {
                return Some(connection);
            }
        }
        None
    }

    /// Closes all of them.
    pub(crate) fn clear(&self) {
        self.idle.borrow_mut().clear();
    }

    /// Gives a connection back that is ready for another request.
    pub(crate) fn put(&self, key: &str, connection: C) {
        let mut idle = self.idle.borrow_mut();
        let kept = (connection, Instant::now());
        match idle.get_mut(key) {
            Some(connections) if connections.len() < IDLE_PER_BACKEND_MAX => connections.push(kept),
            Some(_) => {}
            None => drop(idle.insert(key.to_owned(), vec![kept])),
        }
    }

    /// Closes connections that nobody has used for a while.
    pub(crate) fn drop_idle(&self) {
        self.idle.borrow_mut().retain(|_, connections| {
            connections.retain(|(connection, since)| since.elapsed() < IDLE_FOR_MAX && connection.is_ready());
            !connections.is_empty()
        });
    }

    /// Closes connections to backends that have left the table since it had this version.
    pub(crate) fn keep_only(&self, table: &Table, since: u64) {
        let mut idle = self.idle.borrow_mut();
        match table.gone_since(since) {
            Some(gone) => gone.iter().for_each(|key| drop(idle.remove(key))),
            None => idle.retain(|key, _| table.has_backend(key)),
        }
    }
}
