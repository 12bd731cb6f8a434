//! Open connections, and those of them that wait for their client; these are closed when there is no room.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::{Notify, oneshot};

use crate::{ConnectionLimit, ConnectionLimits, ConnectionPermit, ConnectionRefusal, Source};

/// Connections that are being closed; no further one is chosen meanwhile.
const CLOSING_MAX: usize = 64;

pub(super) struct ListenerConnections {
    limit: ConnectionLimit,
    open: Mutex<OpenConnections>,
    closing: AtomicUsize,
    closed: Notify,
}

#[derive(Default)]
struct OpenConnections {
    next: u64,
    entries: HashMap<u64, ConnectionEntry>,
    /// Those that wait for their client, by source, the oldest first. Who has no share is one source here.
    waiting: HashMap<Option<Source>, BTreeMap<u64, u64>>,
    /// Sources by how many of theirs wait; of those with as many, by who waits longest.
    most: BTreeSet<Rank>,
}

type Rank = (usize, Reverse<u64>, Option<Source>);

/// `None` where none of this source waits.
fn rank(waiting: &BTreeMap<u64, u64>, source: Option<Source>) -> Option<Rank> {
    waiting.first_key_value().map(|(since, _)| (waiting.len(), Reverse(*since), source))
}

struct ConnectionEntry {
    permit: ConnectionPermit,
    /// What it waits for, as bits of [`WaitsFor`]; none while it is our turn.
    waits_for: u8,
    /// Since when, as a number that grows.
    since: u64,
    /// Dropping it ends the connection.
    _end: oneshot::Sender<()>,
}

/// What a connection waits for that nobody but its client can do.
#[derive(Clone, Copy)]
enum WaitsFor {
    Request = 1,
    /// More of the body of a request that is under way.
    Body = 2,
    /// That it takes what was answered.
    Taking = 4,
}

/// A connection that was let in.
pub(super) struct AdmittedConnection {
    slot: Slot,
    shed: oneshot::Receiver<()>,
}

/// One open connection; it counts until this is dropped, or until it is being closed.
pub(super) struct Slot {
    connections: Arc<ListenerConnections>,
    id: u64,
}

/// A request of this connection is under way.
pub(super) struct ActiveRequest(Arc<Turn>);

struct Turn {
    slot: Arc<Slot>,
    stays: AtomicBool,
}

/// Says whether a request that is under way waits for more of its body.
pub(super) struct BodyWait {
    turn: Weak<Turn>,
    is_waiting: bool,
}

impl ListenerConnections {
    pub(super) fn new(limits: ConnectionLimits) -> Self {
        Self {
            limit: ConnectionLimit::new(limits),
            open: Mutex::default(),
            closing: AtomicUsize::new(0),
            closed: Notify::new(),
        }
    }

    /// Waits for closing connections, as far as it matters.
    pub(super) async fn room(&self) {
        loop {
            // Subscribed before looking, so that no end is missed.
            let closed = self.closed.notified();
            if self.closing.load(Ordering::Acquire) < CLOSING_MAX {
                return;
            }
            closed.await;
        }
    }

    /// Lets a connection in, in place of one that waits where there is no room.
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr) -> Result<AdmittedConnection, ConnectionRefusal> {
        let mut open = self.lock();
        let permit = match self.limit.admit(address) {
            Ok(permit) => permit,
            Err(refusal) => {
                let victim = match refusal {
                    ConnectionRefusal::Source => open.oldest_of(Some(Source::from(address))),
                    ConnectionRefusal::Total => open.oldest_of_most(),
                };
                self.close(&mut open, victim.ok_or(refusal)?);
                self.limit.admit(address)?
            }
        };
        let (end, shed) = oneshot::channel();
        let id = open.add(permit, end);
        Ok(AdmittedConnection { slot: Slot { connections: Arc::clone(self), id }, shed })
    }

    /// Closes so many that wait for their client, or all there are.
    pub(super) fn shed(&self, count: usize) {
        let mut open = self.lock();
        for _ in 0..count {
            let Some(victim) = open.oldest_of_most() else { return };
            self.close(&mut open, victim);
        }
    }

    fn close(&self, open: &mut OpenConnections, id: u64) {
        self.closing.fetch_add(1, Ordering::AcqRel);
        open.remove(id);
    }

    fn lock(&self) -> MutexGuard<'_, OpenConnections> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OpenConnections {
    fn add(&mut self, permit: ConnectionPermit, end: oneshot::Sender<()>) -> u64 {
        let id = self.next;
        self.next += 1;
        self.entries.insert(id, ConnectionEntry { permit, waits_for: 0, since: 0, _end: end });
        self.change(id, |_| WaitsFor::Request as u8);
        id
    }

    fn change(&mut self, id: u64, change: impl FnOnce(u8) -> u8) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let (before, source) = (entry.waits_for, entry.permit.source());
        entry.waits_for = change(before);
        if (before == 0) == (entry.waits_for == 0) {
            return;
        }
        let waiting = self.waiting.entry(source).or_default();
        rank(waiting, source).map(|rank| self.most.remove(&rank));
        if before == 0 {
            entry.since = self.next;
            self.next += 1;
            waiting.insert(entry.since, id);
        } else {
            waiting.remove(&entry.since);
        }
        match rank(waiting, source) {
            Some(rank) => _ = self.most.insert(rank),
            None => _ = self.waiting.remove(&source),
        }
    }

    fn remove(&mut self, id: u64) -> bool {
        self.change(id, |_| 0);
        let was_open = self.entries.remove(&id).is_some();
        // A flood leaves large tables behind: their room is given back once it is gone.
        if self.entries.is_empty() {
            self.entries.shrink_to_fit();
            self.waiting.shrink_to_fit();
        }
        was_open
    }

    fn oldest_of(&self, source: Option<Source>) -> Option<u64> {
        self.waiting.get(&source)?.first_key_value().map(|(_, id)| *id)
    }

    fn oldest_of_most(&self) -> Option<u64> {
        self.most.last().and_then(|(_, _, source)| self.oldest_of(*source))
    }
}

impl AdmittedConnection {
    pub(super) fn split(self) -> (Arc<Slot>, oneshot::Receiver<()>) {
        (Arc::new(self.slot), self.shed)
    }
}

impl Slot {
    /// The request has come: until this is dropped the connection does not wait for one.
    pub(super) fn working(self: Arc<Self>) -> ActiveRequest {
        self.waits(WaitsFor::Request, false);
        ActiveRequest(Arc::new(Turn { slot: self, stays: AtomicBool::new(false) }))
    }

    /// The client does not take its answer, or takes it again.
    pub(super) fn is_taken(&self, is_taken: bool) {
        self.waits(WaitsFor::Taking, !is_taken);
    }

    fn waits(&self, what: WaitsFor, does: bool) {
        let bit = what as u8;
        self.connections.lock().change(self.id, |waits| if does { waits | bit } else { waits & !bit });
    }
}

impl ActiveRequest {
    /// The connection is HTTP no more, and never waits again.
    pub(super) fn stay(self) {
        self.0.stays.store(true, Ordering::Relaxed);
    }

    pub(super) fn body_wait(&self) -> BodyWait {
        BodyWait { turn: Arc::downgrade(&self.0), is_waiting: false }
    }
}

impl BodyWait {
    /// Notes it; what is kept of a request when it is over bears on no connection.
    pub(super) fn note(&mut self, is_waiting: bool) {
        if self.is_waiting == is_waiting {
            return;
        }
        self.is_waiting = is_waiting;
        if let Some(turn) = self.turn.upgrade() {
            turn.slot.waits(WaitsFor::Body, is_waiting);
        }
    }
}

impl Drop for BodyWait {
    fn drop(&mut self) {
        self.note(false);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !self.stays.load(Ordering::Relaxed) {
            let (request, body) = (WaitsFor::Request as u8, WaitsFor::Body as u8);
            self.slot.connections.lock().change(self.slot.id, |waits| waits & !body | request);
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if !self.connections.lock().remove(self.id) {
            self.connections.closing.fetch_sub(1, Ordering::AcqRel);
        }
        self.connections.closed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connections(total_max: usize, by_source_max: usize) -> Arc<ListenerConnections> {
        Arc::new(ListenerConnections::new(ConnectionLimits {
            total_max,
            by_source_max,
            without_share: Vec::new(),
        }))
    }

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn who_has_its_share_gives_up_its_own_oldest_that_waits() {
        let connections = connections(10, 2);
        let (first, mut first_shed) = connections.admit(address(1)).expect("room").split();
        let (_second, mut second_shed) = connections.admit(address(1)).expect("room").split();
        let (_other, mut other_shed) = connections.admit(address(2)).expect("room").split();

        let third = connections.admit(address(1)).expect("in place of the oldest");

        assert!(first_shed.try_recv().is_err_and(|error| error == oneshot::error::TryRecvError::Closed));
        assert!(second_shed.try_recv().is_err_and(|error| error == oneshot::error::TryRecvError::Empty));
        assert!(other_shed.try_recv().is_err_and(|error| error == oneshot::error::TryRecvError::Empty));
        drop((first, third));
        assert_eq!(connections.closing.load(Ordering::Relaxed), 0);
        assert_eq!(connections.limit.open(), 2);
    }

    #[test]
    fn where_all_is_taken_the_source_that_holds_most_gives_one_up() {
        let connections = connections(4, 3);
        let (_visitor, mut visitor_shed) = connections.admit(address(9)).expect("room").split();
        let held: Vec<_> = (0..3).map(|_| connections.admit(address(1)).expect("room").split()).collect();

        let newcomer = connections.admit(address(8));

        assert!(newcomer.is_ok());
        assert!(visitor_shed.try_recv().is_err_and(|error| error == oneshot::error::TryRecvError::Empty));
        drop(held);
    }

    #[test]
    fn of_sources_that_hold_as_much_the_one_that_waits_longest_gives_one_up() {
        let connections = connections(3, 3);
        let mut held = [5, 9, 1].map(|last| connections.admit(address(last)).expect("room").split());

        let newcomer = connections.admit(address(7)).expect("in place of the oldest");

        let shed = held.each_mut().map(|(_, shed)| {
            shed.try_recv().is_err_and(|error| error == oneshot::error::TryRecvError::Closed)
        });
        assert_eq!(shed, [true, false, false]);
        drop(newcomer);
    }

    #[test]
    fn requests_under_way_are_never_cut_off_for_others() {
        let connections = connections(2, 2);
        let (first, _shed) = connections.admit(address(1)).expect("room").split();
        let (second, _shed_too) = connections.admit(address(1)).expect("room").split();
        let working = (Arc::clone(&first).working(), second.working());

        assert_eq!(connections.admit(address(1)).err(), Some(ConnectionRefusal::Source));
        assert_eq!(connections.admit(address(2)).err(), Some(ConnectionRefusal::Total));
        drop(working);
        assert!(connections.admit(address(2)).is_ok());
    }

    #[test]
    fn a_request_that_waits_for_its_client_makes_room_and_one_that_works_does_not() {
        let connections = connections(2, 2);
        let (first, mut first_shed) = connections.admit(address(1)).expect("room").split();
        let (second, mut second_shed) = connections.admit(address(1)).expect("room").split();
        let (first_works, second_works) = (first.working(), Arc::clone(&second).working());
        let mut body = second_works.body_wait();
        body.note(true);
        body.note(false);
        assert_eq!(connections.admit(address(2)).err(), Some(ConnectionRefusal::Total));

        first_works.body_wait().note(true);
        assert_eq!(
            connections.admit(address(2)).err(),
            Some(ConnectionRefusal::Total),
            "nobody reads it any more"
        );
        body.note(true);
        let newcomer = connections.admit(address(2)).expect("the one that waits for its body").split();

        assert!(second_shed.try_recv().is_err_and(|error| error == oneshot::error::TryRecvError::Closed));
        assert!(first_shed.try_recv().is_err_and(|error| error == oneshot::error::TryRecvError::Empty));
        drop((second_works, second));
        let newcomer_works = Arc::clone(&newcomer.0).working();
        assert_eq!(connections.admit(address(3)).err(), Some(ConnectionRefusal::Total));
        newcomer.0.is_taken(false);
        assert!(connections.admit(address(3)).is_ok(), "the one that does not take its answer");
        drop((newcomer_works, body));
    }

    #[test]
    fn nothing_is_left_of_connections_that_are_closed() {
        let connections = connections(10, 10);
        let held: Vec<_> = (0..10).map(|last| connections.admit(address(last)).expect("room")).collect();
        drop(held);

        let open = connections.lock();
        assert!(open.entries.is_empty() && open.waiting.is_empty() && open.most.is_empty());
        assert_eq!(connections.limit.open(), 0);
    }
}
