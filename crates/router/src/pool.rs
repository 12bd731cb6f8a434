//! Connections to backends, kept open for the next request; one pool per worker.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::{Duration, Instant};

use hyper::client::conn::http1::SendRequest;

use crate::body::ProxyBody;
use crate::table::Table;

/// Idle connections kept per backend.
const IDLE_PER_BACKEND_MAX: usize = 128;
/// App servers close idle connections after two seconds at the earliest (gunicorn's default); a
/// connection that is about to be closed by its peer must not be used for a request with a body.
const IDLE_FOR_MAX: Duration = Duration::from_millis(1_500);

pub(crate) type Sender = SendRequest<ProxyBody>;

/// Keyed by the backend's key, never by its address: addresses are used again.
#[derive(Default)]
pub(crate) struct Pool {
    idle: RefCell<HashMap<String, Vec<(Sender, Instant)>>>,
}

impl Pool {
    /// The connection that was used last and is still open.
    pub(crate) fn take(&self, key: &str) -> Option<Sender> {
        let mut idle = self.idle.borrow_mut();
        let senders = idle.get_mut(key)?;
        while let Some((sender, since)) = senders.pop() {
            if sender.is_ready() && since.elapsed() < IDLE_FOR_MAX {
                return Some(sender);
            }
        }
        None
    }

    /// Gives a connection back that is ready for another request.
    pub(crate) fn put(&self, key: &str, sender: Sender) {
        let mut idle = self.idle.borrow_mut();
        let senders = idle.entry(key.to_owned()).or_default();
        if senders.len() < IDLE_PER_BACKEND_MAX {
            senders.push((sender, Instant::now()));
        }
    }

    /// Closes connections that nobody has used for a while.
    pub(crate) fn drop_idle(&self) {
        self.idle.borrow_mut().retain(|_, senders| {
            senders.retain(|(sender, since)| !sender.is_closed() && since.elapsed() < IDLE_FOR_MAX);
            !senders.is_empty()
        });
    }

    /// Closes connections to backends that are no longer in the table.
    pub(crate) fn keep_only(&self, table: &Table) {
        self.idle.borrow_mut().retain(|key, _| table.has_backend(key));
    }
}
