//! The open connections: how many there may be, which of them idle, and how they end on TERM.

use std::collections::BTreeMap;
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Most connections at once; beyond them the one that has been there longest without a request goes.
const CONNECTIONS_MAX: usize = 256;

/// All open connections.
#[derive(Default)]
pub struct Connections {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    open: BTreeMap<u64, Open>,
    next: u64,
    stopping: bool,
}

struct Open {
    stream: TcpStream,
    idle: bool,
}

/// A connection's place among the open ones; given back when dropped.
pub struct Place {
    id: u64,
    connections: Arc<Connections>,
}

impl Connections {
    /// Takes a connection in, if there is room or room can be made.
    pub fn admit(self: &Arc<Self>, stream: &TcpStream) -> Option<Place> {
        let mut state = self.lock();
        if state.stopping || (state.open.len() >= CONNECTIONS_MAX && !state.close_one_idle()) {
            return None;
        }
        let id = state.next;
        state.next += 1;
        state.open.insert(id, Open { stream: stream.try_clone().ok()?, idle: true });
        drop(state);
        Some(Place { id, connections: Arc::clone(self) })
    }

    /// Closes idle connections, waits for the others within `bound`.
    pub fn drain(&self, bound: Duration) {
        let mut state = self.lock();
        state.stopping = true;
        // Readers wake up with the end of input; what is being written goes on.
        for Open { stream, .. } in state.open.values() {
            let _ = stream.shutdown(Shutdown::Read);
        }
        let _ = self.changed.wait_timeout_while(state, bound, |state| !state.open.is_empty());
    }

    /// Nothing here can panic half-way, so a poisoned lock holds a sound state.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn close_one_idle(&mut self) -> bool {
        let Some(open) = self.open.values_mut().find(|open| open.idle) else { return false };
        // Not to be chosen again while its thread is on its way out.
        open.idle = false;
        open.stream.shutdown(Shutdown::Both).is_ok()
    }
}

impl Place {
    /// Says whether the connection waits for a request; false once the server is stopping.
    pub fn set_idle(&self, idle: bool) -> bool {
        let mut state = self.connections.lock();
        if let Some(open) = state.open.get_mut(&self.id) {
            open.idle = idle;
        }
        !state.stopping
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.lock().open.remove(&self.id);
        self.connections.changed.notify_all();
    }
}
