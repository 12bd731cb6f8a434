//! Limits of connections of clients and to apps: how many all workers together may have open, the share of one
//! source, and the choice of connections to close when there is no room.
//!
//! Nothing here is on the way of a request but two cells of its connection. Each worker knows its own connections;
//! when one of them has none to end, in all or of a source, the others are asked to.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use listener::Source;
use tokio::sync::{Notify, broadcast};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};

const SHARDS: usize = 16;
/// Connections that end at once where there is no room: this part of what there may be, so that they are looked for
/// once for many newcomers.
const SHED_PART: usize = 64;
const SHED_MAX: usize = 256;
/// How long a newcomer waits for a connection of its source that another worker has.
const SHARE_WAIT: Duration = Duration::from_secs(1);
/// Newcomers of one worker that do; more are refused.
const WAIT_FOR_SHARE_MAX: usize = 32;
/// Sources of which a worker was asked to end connections and has not yet; of more, the newest.
const ASKED_MAX: usize = 64;

/// Open connections of all workers.
pub(crate) struct Connections {
    total_max: usize,
    by_source_max: usize,
    upstreams_max: usize,
    open: AtomicUsize,
    upstreams: AtomicUsize,
    by_source: [Mutex<HashMap<Source, usize>>; SHARDS],
    hasher: RandomState,
    /// Workers that have a connection in hand and no room for it.
    waiting: AtomicUsize,
    /// A connection has closed, or may be closed now.
    closed: Notify,
    /// One for each worker: it is asked to end connections.
    shortage: Box<[Notify]>,
    /// Sources that have their share and of which a worker has none to end.
    asked: broadcast::Sender<Source>,
}

/// One connection among all, for as long as it lives.
struct TotalSlot(Arc<Connections>);

/// One of a source's share, for as long as it lives.
pub(crate) struct SourceSlot {
    connections: Arc<Connections>,
    source: Source,
}

/// One connection to an app, for as long as it lives.
pub(crate) struct UpstreamSlot(Arc<Connections>);

/// A source has its share.
#[derive(Debug)]
pub(crate) struct ShareExhausted;

impl Connections {
    pub(crate) fn new(total_max: usize, by_source_max: usize, upstreams_max: usize, workers: usize) -> Self {
        Self {
            total_max,
            by_source_max,
            upstreams_max,
            open: AtomicUsize::new(0),
            upstreams: AtomicUsize::new(0),
            by_source: Default::default(),
            hasher: RandomState::new(),
            waiting: AtomicUsize::new(0),
            closed: Notify::new(),
            shortage: std::iter::repeat_with(Notify::new).take(workers).collect(),
            asked: broadcast::Sender::new(ASKED_MAX),
        }
    }

    /// Waits until a worker is asked to end connections.
    pub(crate) async fn shortage(&self, worker: usize) {
        self.shortage[worker].notified().await;
    }

    /// Sources of which each worker is asked to end connections, from now on.
    pub(crate) fn asked(&self) -> broadcast::Receiver<Source> {
        self.asked.subscribe()
    }

    fn has_its_share(&self, source: Source) -> bool {
        self.shard(source).get(&source).is_some_and(|count| *count >= self.by_source_max)
    }

    fn has_room(&self) -> bool {
        self.open.load(Ordering::Relaxed) < self.total_max
    }

    fn place(self: &Arc<Self>) -> TotalSlot {
        self.open.fetch_add(1, Ordering::Relaxed);
        TotalSlot(Arc::clone(self))
    }

    /// Takes one of a source's share.
    fn source_place(self: &Arc<Self>, source: Source) -> Result<SourceSlot, ShareExhausted> {
        let mut counts = self.shard(source);
        let count = counts.entry(source).or_default();
        if *count >= self.by_source_max {
            return Err(ShareExhausted);
        }
        *count += 1;
        drop(counts);
        Ok(SourceSlot { connections: Arc::clone(self), source })
    }

    /// A place for a connection to an app.
    pub(crate) fn upstream(self: &Arc<Self>) -> Option<UpstreamSlot> {
        // Beyond the bound it is given back at once.
        let place = UpstreamSlot(Arc::clone(self));
        let before = self.upstreams.fetch_add(1, Ordering::Relaxed);
        (before < self.upstreams_max).then_some(place)
    }

    fn shard(&self, source: Source) -> MutexGuard<'_, HashMap<Source, usize>> {
        let number = self.hasher.hash_one(source) as usize % SHARDS;
        self.by_source[number].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for TotalSlot {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
        self.0.closed.notify_waiters();
    }
}

impl Drop for SourceSlot {
    fn drop(&mut self) {
        let mut counts = self.connections.shard(self.source);
        match counts.get_mut(&self.source) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(counts.remove(&self.source)),
        }
        // A flood leaves a large table behind.
        if counts.is_empty() {
            counts.shrink_to_fit();
        }
    }
}

impl Drop for UpstreamSlot {
    fn drop(&mut self) {
        self.0.upstreams.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A worker that waits for room, for as long as it does.
struct RoomWaiter<'a>(&'a Connections);

impl<'a> RoomWaiter<'a> {
    fn begin(all: &'a Connections) -> Self {
        all.waiting.fetch_add(1, Ordering::Relaxed);
        Self(all)
    }
}

impl Drop for RoomWaiter<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A newcomer that waits for its source's share, for as long as it does.
struct ShareWaiter<'a>(&'a WorkerConnections);

impl<'a> ShareWaiter<'a> {
    fn begin(visitors: &'a WorkerConnections) -> Result<Self, ShareExhausted> {
        let count = visitors.wait_for_share.get();
        if count >= WAIT_FOR_SHARE_MAX {
            return Err(ShareExhausted);
        }
        visitors.wait_for_share.set(count + 1);
        Ok(Self(visitors))
    }
}

impl Drop for ShareWaiter<'_> {
    fn drop(&mut self) {
        self.0.wait_for_share.set(self.0.wait_for_share.get() - 1);
    }
}

/// Activity of a connection, which decides whether it may be closed for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConnectionActivity {
    /// It waits for a next request.
    Idle,
    /// A handshake or a head has not come to its end.
    Asking,
    /// The body of a request comes in, which no app has yet.
    Sending,
    /// A request is under way, or a tunnel.
    Served,
}

/// Client connections of one worker.
pub(crate) struct WorkerConnections {
    all: Arc<Connections>,
    open: RefCell<Vec<Option<Rc<ConnectionRecord>>>>,
    free: RefCell<Vec<usize>>,
    count: Cell<usize>,
    closed: Notify,
    /// Newcomers that wait for their source's share.
    wait_for_share: Cell<usize>,
}

/// One client connection.
struct ConnectionRecord {
    doing: Cell<ConnectionActivity>,
    since: Cell<Instant>,
    /// Requests under way where there may be several.
    requests: Cell<u32>,
    place: RefCell<Option<TotalSlot>>,
    source: RefCell<Option<SourceSlot>>,
    task: RefCell<Option<AbortHandle>>,
}

/// What a connection had of the bounds that was told to end.
pub(crate) struct Ended {
    source: Option<SourceSlot>,
    _place: Option<TotalSlot>,
}

/// A hold on a connection; it counts as open until the last of these is dropped.
#[derive(Clone)]
pub(crate) struct ConnectionHandle(Rc<OpenConnection>);

struct OpenConnection {
    visitors: Rc<WorkerConnections>,
    visitor: Rc<ConnectionRecord>,
    number: usize,
}

/// A request under way on a connection that may have several, for as long as it lives.
pub(crate) struct StreamHandle {
    open: ConnectionHandle,
    _share: Option<SourceSlot>,
}

impl WorkerConnections {
    pub(crate) fn new(all: &Arc<Connections>) -> Rc<Self> {
        Rc::new(Self {
            all: Arc::clone(all),
            open: RefCell::default(),
            free: RefCell::default(),
            count: Cell::new(0),
            closed: Notify::new(),
            wait_for_share: Cell::new(0),
        })
    }

    /// Counts a connection, whether or not there is room for it.
    pub(crate) fn open(self: &Rc<Self>) -> ConnectionHandle {
        let visitor = Rc::new(ConnectionRecord {
            doing: Cell::new(ConnectionActivity::Asking),
            since: Cell::new(Instant::now()),
            requests: Cell::new(0),
            place: RefCell::new(Some(self.all.place())),
            source: RefCell::default(),
            task: RefCell::default(),
        });
        let mut open = self.open.borrow_mut();
        let number = self.free.borrow_mut().pop().unwrap_or(open.len());
        if number == open.len() {
            open.push(None);
        }
        open[number] = Some(Rc::clone(&visitor));
        self.count.set(self.count.get() + 1);
        ConnectionHandle(Rc::new(OpenConnection { visitors: Rc::clone(self), visitor, number }))
    }

    /// Waits until there is room for one more: closes connections that only wait for their clients.
    pub(crate) async fn make_room(&self) {
        if self.all.has_room() {
            return;
        }
        let _waiting = RoomWaiter::begin(&self.all);
        loop {
            // Subscribed before looking, so that no end is missed.
            let closed = self.all.closed.notified();
            if self.all.has_room() || !self.shed(None).is_empty() {
                return;
            }
            // None of this worker's: perhaps others have some.
            self.all.shortage.iter().for_each(Notify::notify_one);
            closed.await;
        }
    }

    /// Ends the connections that have waited longest for their visitors, of one source or of all: idle ones first,
    /// then those whose heads are not whole, then those whose bodies are not. What they had is free once it is dropped.
    pub(crate) fn shed(&self, of: Option<Source>) -> Vec<Ended> {
        let max = of.map_or(self.all.total_max, |_| self.all.by_source_max);
        let wanted = (max / SHED_PART).clamp(1, SHED_MAX);
        let in_turn = [ConnectionActivity::Idle, ConnectionActivity::Asking, ConnectionActivity::Sending];
        in_turn
            .into_iter()
            .map(|doing| self.shed_doing(doing, of, wanted))
            .find(|ended| !ended.is_empty())
            .unwrap_or_default()
    }

    /// As `shed`, where another worker has no room.
    pub(crate) fn shed_for_others(&self) {
        if !self.all.has_room() {
            self.shed(None);
        }
    }

    /// Ends some of this source where another worker has none of its to end.
    pub(crate) fn shed_for_source(&self, source: Source) {
        if self.all.has_its_share(source) {
            self.shed(Some(source));
        }
    }

    /// Says that a connection may go that could not before.
    fn note_idle(&self) {
        if self.all.waiting.load(Ordering::Relaxed) > 0 {
            self.all.closed.notify_waiters();
        }
    }

    fn shed_doing(&self, doing: ConnectionActivity, of: Option<Source>, wanted: usize) -> Vec<Ended> {
        let open = self.open.borrow();
        let is_of = |visitor: &ConnectionRecord| {
            of.is_none_or(|of| visitor.source.borrow().as_ref().is_some_and(|place| place.source == of))
        };
        let may_go = |visitor: &&Rc<ConnectionRecord>| {
            visitor.doing.get() == doing && visitor.place.borrow().is_some() && is_of(visitor)
        };
        let mut found: Vec<_> = open.iter().flatten().filter(may_go).collect();
        if found.len() > wanted {
            found.select_nth_unstable_by_key(wanted, |visitor| visitor.since.get());
            found.truncate(wanted);
        }
        // Only those whose task is known can be ended; the others have just come.
        found.into_iter().filter_map(|visitor| visitor.end()).collect()
    }

    /// Waits until none is open.
    pub(crate) async fn all_closed(&self) {
        loop {
            let closed = self.closed.notified();
            if self.count.get() == 0 {
                return;
            }
            closed.await;
        }
    }
}

impl ConnectionRecord {
    /// Ends its task, within its worker's turn, and gives back what it has of the bounds.
    fn end(&self) -> Option<Ended> {
        self.task.borrow_mut().take()?.abort();
        Some(Ended { source: self.source.take(), _place: self.place.take() })
    }
}

impl ConnectionHandle {
    /// Says by which task the connection is served.
    pub(crate) fn is_served_by(&self, task: AbortHandle) {
        *self.0.visitor.task.borrow_mut() = Some(task);
    }

    /// Takes one of this source's share for the connection, for which others of its may have to go.
    pub(crate) async fn belongs_to(&self, address: IpAddr) -> Result<(), ShareExhausted> {
        let source = Source::from(address);
        match self.take_share(source) {
            // Few wait, so that the others need no room for it.
            Err(ShareExhausted) => Box::pin(self.wait_for_share(source)).await,
            taken => taken,
        }
    }

    fn take_share(&self, source: Source) -> Result<(), ShareExhausted> {
        let visitors = &self.0.visitors;
        let place = match visitors.all.source_place(source) {
            Ok(place) => place,
            // Handed on: what is free another worker may take first, until this one has none of the source's.
            Err(ShareExhausted) => {
                let mut ended = visitors.shed(Some(source)).into_iter();
                ended.find_map(|ended| ended.source).ok_or(ShareExhausted)?
            }
        };
        *self.0.visitor.source.borrow_mut() = Some(place);
        Ok(())
    }

    /// Waits until another worker has ended one.
    async fn wait_for_share(&self, source: Source) -> Result<(), ShareExhausted> {
        let visitors = &self.0.visitors;
        let _waiting = ShareWaiter::begin(visitors)?;
        let taken = async {
            loop {
                // Subscribed before looking, so that no end is missed.
                let closed = visitors.all.closed.notified();
                if self.take_share(source).is_ok() {
                    return;
                }
                // Fails only where no worker is left to hear it.
                let _ = visitors.all.asked.send(source);
                closed.await;
            }
        };
        timeout(SHARE_WAIT, taken).await.map_err(|_| ShareExhausted)
    }

    /// Its one request is served.
    pub(crate) fn is_served(&self) {
        self.0.visitor.doing.set(ConnectionActivity::Served);
    }

    /// The head of a request has begun to come.
    pub(crate) fn asks(&self, now: Instant) {
        self.0.visitor.since.set(now);
        self.0.visitor.doing.set(ConnectionActivity::Asking);
    }

    /// It waits for a request, since `now`.
    pub(crate) fn is_idle(&self, now: Instant) {
        self.0.visitor.since.set(now);
        self.0.visitor.doing.set(ConnectionActivity::Idle);
        self.0.visitors.note_idle();
    }

    /// Ends it, whatever it does.
    pub(crate) fn end(&self) {
        self.0.visitor.end();
    }

    /// A request begins, one of several at once where `is_shared`: then it counts as a connection of its source, for
    /// it may take as much of an app.
    pub(crate) fn attended(&self, is_shared: bool) -> Result<StreamHandle, ShareExhausted> {
        let visitor = &self.0.visitor;
        let source = visitor.source.borrow().as_ref().map(|place| place.source);
        let is_first = visitor.requests.get() == 0;
        let share = match source.filter(|_| is_shared && !is_first) {
            Some(source) => Some(self.0.visitors.all.source_place(source)?),
            None => None,
        };
        visitor.requests.set(visitor.requests.get() + 1);
        visitor.doing.set(ConnectionActivity::Served);
        Ok(StreamHandle { open: self.clone(), _share: share })
    }
}

impl StreamHandle {
    /// Its body comes in, or has come: the connection may end meanwhile where it carries no other.
    pub(crate) fn is_sending(&self, is_sending: bool) {
        let visitor = &self.open.0.visitor;
        if visitor.requests.get() == 1 {
            visitor.since.set(Instant::now());
            visitor.doing.set(if is_sending {
                ConnectionActivity::Sending
            } else {
                ConnectionActivity::Served
            });
            self.open.0.visitors.note_idle();
        }
    }

    /// The connection that it came on.
    pub(crate) fn connection(&self) -> &ConnectionHandle {
        &self.open
    }
}

impl Drop for StreamHandle {
    fn drop(&mut self) {
        let visitor = &self.open.0.visitor;
        visitor.requests.set(visitor.requests.get() - 1);
        if visitor.requests.get() == 0 {
            self.open.is_idle(Instant::now());
        }
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.visitors.open.borrow_mut()[self.number] = None;
        self.visitors.free.borrow_mut().push(self.number);
        self.visitors.count.set(self.visitors.count.get() - 1);
        self.visitors.closed.notify_waiters();
        // Who waits for its source's share is told by the end of the place.
        drop((self.visitor.source.take(), self.visitor.place.take()));
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::LocalSet;

    use super::*;

    const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    /// A connection that is served by a task without an end; `None` where its source has its share.
    async fn open(worker: &Rc<WorkerConnections>) -> Option<(ConnectionHandle, tokio::task::JoinHandle<()>)> {
        let open = worker.open();
        let task = tokio::task::spawn_local(std::future::pending());
        open.is_served_by(task.abort_handle());
        open.belongs_to(ADDRESS).await.ok().map(|()| (open, task))
    }

    #[tokio::test]
    async fn a_newcomer_gets_its_share_from_the_worker_that_has_all_of_it() {
        let all = Arc::new(Connections::new(50, 2, 10, 2));
        let (one, other) = (WorkerConnections::new(&all), WorkerConnections::new(&all));
        let test = async {
            let mut asked = all.asked();
            let helper = Rc::clone(&one);
            tokio::task::spawn_local(async move {
                while let Ok(source) = asked.recv().await {
                    helper.shed_for_source(source);
                }
            });
            let (oldest, its_task) = open(&one).await.expect("a share of two");
            let (second, second_task) = open(&one).await.expect("a share of two");

            let (newcomer, _) = open(&other).await.expect("in place of the oldest");

            assert!(its_task.await.is_err_and(|error| error.is_cancelled()));
            assert!(!second_task.is_finished());
            second.is_served();
            newcomer.is_served();
            assert!(open(&other).await.is_none(), "all are served");
            drop(oldest);
        };
        LocalSet::new().run_until(test).await;
    }
}
