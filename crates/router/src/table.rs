//! The route table as one worker uses it, and its count of requests under way.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use domain::hosts::HostIndex;
use domain::routing::{Backend, Route, RouteTable};
use tokio::sync::Notify;

/// A table with its index of hosts; replaced whole.
pub(crate) struct Table {
    pub(crate) version: u64,
    routes: Vec<Rc<Route>>,
    index: HostIndex,
}

impl Table {
    pub(crate) fn new(table: &RouteTable) -> Self {
        Self {
            version: table.version,
            routes: table.routes.iter().cloned().map(Rc::new).collect(),
            index: HostIndex::new(table),
        }
    }

    /// The route that serves this host.
    pub(crate) fn route(&self, host: &str) -> Option<Rc<Route>> {
        self.index.find(host).map(|position| Rc::clone(&self.routes[position]))
    }

    pub(crate) fn has_backend(&self, key: &str) -> bool {
        self.routes.iter().any(|route| route.backends.iter().any(|backend| backend.key == key))
    }
}

/// Requests under way per backend.
#[derive(Default)]
pub(crate) struct InFlight {
    counts: RefCell<HashMap<String, u64>>,
    changed: Notify,
}

/// Counts one request for as long as it lives.
pub(crate) struct InFlightGuard {
    counts: Rc<InFlight>,
    key: String,
}

impl InFlight {
    /// Picks the backend with the fewest requests under way, leaving out `tried`, and counts one more.
    pub(crate) fn choose(
        self: &Rc<Self>,
        backends: &[Backend],
        tried: &[String],
    ) -> Option<(Backend, InFlightGuard)> {
        let counts = self.counts.borrow();
        let count = |backend: &&Backend| counts.get(&backend.key).copied().unwrap_or(0);
        // A random start keeps equal backends equally loaded.
        let start = if backends.is_empty() { 0 } else { rand::random_range(0..backends.len()) };
        let rotated = backends[start..].iter().chain(&backends[..start]);
        let chosen = rotated.filter(|backend| !tried.contains(&backend.key)).min_by_key(count)?.clone();
        drop(counts);
        *self.counts.borrow_mut().entry(chosen.key.clone()).or_insert(0) += 1;
        let guard = InFlightGuard { counts: Rc::clone(self), key: chosen.key.clone() };
        Some((chosen, guard))
    }

    pub(crate) fn total(&self) -> u64 {
        self.counts.borrow().values().sum()
    }

    /// Waits until a request has ended.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    pub(crate) fn snapshot(&self) -> BTreeMap<String, u64> {
        self.counts.borrow().iter().map(|(key, count)| (key.clone(), *count)).collect()
    }
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        let mut counts = self.counts.counts.borrow_mut();
        if let Some(count) = counts.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.key);
            }
        }
        // The one waiter is the draining worker; a permit is kept if it is not waiting yet.
        self.counts.changed.notify_one();
    }
}
