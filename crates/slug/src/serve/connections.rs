//! The open connections: how many there may be, which of them idle, and how they end on TERM.

use std::collections::BTreeMap;
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Most connections at once; beyond them the one that has been there longest without a request goes.
const CONNECTIONS_MAX: usize = 256;
/// Longest wait of a connection for another one to become idle, when all have yet to send a request: a crowd that
/// waited for this process to start.
const ROOM_WAIT: Duration = Duration::from_secs(1);

/// All open connections.
#[derive(Default)]
pub struct StaticConnections {
    state: Mutex<ConnectionTable>,
    changed: Condvar,
}

#[derive(Default)]
struct ConnectionTable {
    open: BTreeMap<u64, ServedConnection>,
    next: u64,
    stopping: bool,
}

struct ServedConnection {
    stream: TcpStream,
    idle: bool,
    /// It has had a response: its client can tell a closed connection from a lost request.
    asked: bool,
}

/// A connection's place among the open ones; given back when dropped.
pub struct ConnectionSlot {
    id: u64,
    connections: Arc<StaticConnections>,
}

impl StaticConnections {
    /// Takes a connection in, if there is room or room can be made.
    pub fn admit(self: &Arc<Self>, stream: &TcpStream) -> Option<ConnectionSlot> {
        let has_no_room =
            |state: &mut ConnectionTable| !state.stopping && state.is_full() && !state.has_rested();
        let waited = self.changed.wait_timeout_while(self.lock(), ROOM_WAIT, has_no_room);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if state.stopping || (state.is_full() && !state.close_one_idle()) {
            return None;
        }
        let id = state.next;
        state.next += 1;
        state
            .open
            .insert(id, ServedConnection { stream: stream.try_clone().ok()?, idle: true, asked: false });
        drop(state);
        Some(ConnectionSlot { id, connections: Arc::clone(self) })
    }

    /// Closes idle connections, waits for the others within `bound`.
    pub fn drain(&self, bound: Duration) {
        let mut state = self.lock();
        state.stopping = true;
        // Readers wake up with the end of input; writes under way continue.
        for ServedConnection { stream, .. } in state.open.values() {
            let _ = stream.shutdown(Shutdown::Read);
        }
        let _ = self.changed.wait_timeout_while(state, bound, |state| !state.open.is_empty());
    }

    /// No code here can panic half-way, so the state behind a poisoned lock is valid.
    fn lock(&self) -> MutexGuard<'_, ConnectionTable> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ConnectionTable {
    fn is_full(&self) -> bool {
        self.open.len() >= CONNECTIONS_MAX
    }

    /// Returns true if a connection has been answered and is idle.
    fn has_rested(&self) -> bool {
        self.open.values().any(|open| open.idle && open.asked)
    }

    /// One that was answered rather than one that may be about to ask.
    fn close_one_idle(&mut self) -> bool {
        let rested = self.has_rested();
        let mut open = self.open.values_mut();
        let Some(open) = open.find(|open| open.idle && open.asked == rested) else { return false };
        // Not to be chosen again while its thread ends.
        open.idle = false;
        open.stream.shutdown(Shutdown::Both).is_ok()
    }
}

impl ConnectionSlot {
    /// Says whether the connection waits for a request; false once the server is stopping.
    pub fn set_idle(&self, idle: bool) -> bool {
        let mut state = self.connections.lock();
        if let Some(open) = state.open.get_mut(&self.id) {
            open.idle = idle;
            open.asked |= !idle;
        }
        let goes_on = !state.stopping;
        drop(state);
        self.connections.changed.notify_all();
        goes_on
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.connections.lock().open.remove(&self.id);
        self.connections.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn in_a_crowd_nobody_who_has_yet_to_ask_is_sent_away_for_another() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let stream = TcpStream::connect(listener.local_addr().expect("it is bound")).expect("it listens");
        let connections = Arc::new(StaticConnections::default());
        let admit = || connections.admit(&stream).expect("there is room");
        let places: Vec<_> = (0..CONNECTIONS_MAX).map(|_| admit()).collect();
        let answered = &places[7];

        let next = std::thread::scope(|scope| {
            let next = scope.spawn(admit);
            answered.set_idle(false);
            answered.set_idle(true);
            next.join().expect("it is admitted")
        });

        let state = connections.lock();
        let sent_away: Vec<_> = state.open.iter().filter(|(_, open)| !open.idle).map(|(id, _)| *id).collect();
        assert_eq!(sent_away, [answered.id]);
        assert!(state.open.contains_key(&next.id));
    }
}
