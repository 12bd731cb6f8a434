//! A worker's count of requests under way for each backend, and the choice of a backend by it.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use domain::routing::Backend;
use tokio::sync::Notify;

use super::affinity;
use crate::metrics::{AppMetrics, RequestInFlight};

/// Requests under way per backend.
#[derive(Default)]
pub(crate) struct InFlight {
    /// Those that came down to zero stay until the next report.
    counts: RefCell<HashMap<String, Rc<BackendLoad>>>,
    /// Number of them that have switched protocols.
    switched: Cell<u64>,
    /// Requests whose bodies come in before a backend is chosen.
    coming: Cell<u64>,
    changed: Notify,
}

/// Load of a backend.
struct BackendLoad {
    key: String,
    requests: Cell<u64>,
}

/// Counts a request whose body comes in for as long as it lives.
pub(crate) struct IncomingBodyCount(Rc<InFlight>);

/// Counts one request for as long as it lives.
pub(crate) struct InFlightGuard {
    counts: Rc<InFlight>,
    load: Rc<BackendLoad>,
    is_switched: bool,
    under_way: RequestInFlight,
    /// Values that are dropped with the request.
    kept: Vec<Box<dyn Any>>,
}

impl InFlight {
    /// Picks the backend with the hash `wanted`, else the one with the fewest requests under way, leaving out
    /// `tried`, and counts one more.
    pub(crate) fn choose<'a>(
        self: &Rc<Self>,
        backends: &'a [Backend],
        tried: &[String],
        wanted: Option<&str>,
        metrics: &Arc<AppMetrics>,
    ) -> Option<(&'a Backend, InFlightGuard)> {
        let mut counts = self.counts.borrow_mut();
        let count = |backend: &&Backend| counts.get(&backend.key).map_or(0, |load| load.requests.get());
        // A random start keeps equal backends equally loaded.
        let start = if backends.len() < 2 { 0 } else { rand::random_range(0..backends.len()) };
        let rotated = backends[start..].iter().chain(&backends[..start]);
        let mut left = rotated.filter(|backend| !tried.contains(&backend.key));
        let known = wanted.and_then(|wanted| left.clone().find(|it| affinity::mark(&it.key) == wanted));
        let chosen = match known {
            Some(known) => known,
            None if backends.len() == 1 => left.next()?,
            None => left.by_ref().min_by_key(count)?,
        };
        let load = match counts.get(&chosen.key) {
            Some(load) => Rc::clone(load),
            None => {
                let load = Rc::new(BackendLoad { key: chosen.key.clone(), requests: Cell::new(0) });
                counts.insert(chosen.key.clone(), Rc::clone(&load));
                load
            }
        };
        load.requests.set(load.requests.get() + 1);
        let guard = InFlightGuard {
            counts: Rc::clone(self),
            load,
            is_switched: false,
            under_way: RequestInFlight::begin(metrics, chosen.release),
            kept: Vec::new(),
        };
        Some((chosen, guard))
    }

    /// Counts a request that no backend has yet.
    pub(crate) fn coming(self: &Rc<Self>) -> IncomingBodyCount {
        self.coming.set(self.coming.get() + 1);
        IncomingBodyCount(Rc::clone(self))
    }

    pub(crate) fn total(&self) -> u64 {
        let at_backends: u64 = self.counts.borrow().values().map(|load| load.requests.get()).sum();
        at_backends + self.coming.get()
    }

    /// Number of requests that a restart does not wait for: new connections would have to wait for a WebSocket.
    pub(crate) fn not_waited_for(&self, restarting: &AtomicBool) -> u64 {
        if restarting.load(Ordering::Relaxed) { self.switched.get() } else { 0 }
    }

    /// Waits until a request has ended.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    pub(crate) fn snapshot(&self) -> BTreeMap<String, u64> {
        let mut counts = self.counts.borrow_mut();
        counts.retain(|_, load| load.requests.get() > 0);
        counts.iter().map(|(key, load)| (key.clone(), load.requests.get())).collect()
    }
}

impl Drop for IncomingBodyCount {
    fn drop(&mut self) {
        self.0.coming.set(self.0.coming.get() - 1);
        self.0.changed.notify_one();
    }
}

impl InFlightGuard {
    /// Keeps something until the request has ended.
    pub(crate) fn keep(&mut self, thing: impl Any) {
        self.kept.push(Box::new(thing));
    }

    /// The counters of the app whose request it is.
    pub(crate) fn metrics(&self) -> &Arc<AppMetrics> {
        self.under_way.metrics()
    }

    /// The connection has switched to another protocol.
    pub(crate) fn switched(&mut self) {
        self.is_switched = true;
        self.counts.switched.set(self.counts.switched.get() + 1);
        self.counts.changed.notify_one();
    }

    /// Handle to record the end of the request for the counters of its release: `answered`, `lost`.
    pub(crate) fn under_way(&self) -> &RequestInFlight {
        &self.under_way
    }

    /// The backend that has it.
    pub(crate) fn backend_key(&self) -> &str {
        &self.load.key
    }
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        let switched = &self.counts.switched;
        switched.set(switched.get() - u64::from(self.is_switched));
        self.load.requests.set(self.load.requests.get() - 1);
        // The one waiter is the draining worker; a permit is kept if it is not waiting yet.
        self.counts.changed.notify_one();
    }
}
