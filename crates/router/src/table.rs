//! The route table as one worker uses it, and its count of requests under way.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use domain::edge::RouterRules;
use domain::hosts::HostIndex;
use domain::routing::{Backend, Route, RouteOwner, RouteTable};
use rustls::ServerConfig;
use tokio::sync::Notify;

use crate::affinity;
use crate::metrics::{AppMetrics, UnderWay, WorkerMetrics};
use crate::site::Site;
use crate::tls::Tls;

/// A table with its index of hosts; replaced whole.
pub(crate) struct Table {
    pub(crate) version: u64,
    pub(crate) rules: Arc<RouterRules>,
    /// How TLS is spoken while this table holds; `None` where there is no HTTPS.
    pub(crate) tls: Option<Arc<ServerConfig>>,
    sites: Vec<Rc<Site>>,
    index: HostIndex,
    /// Gets the requests for hosts of nobody.
    default_site: Option<usize>,
}

impl Table {
    pub(crate) fn new(table: &RouteTable, tls: Option<&Tls>, metrics: &WorkerMetrics) -> Self {
        let index = HostIndex::new(table);
        let is_default = |route: &Route| matches!(&route.owner, RouteOwner::App(app) if Some(app.as_str()) == table.rules.default_app.as_deref());
        let metrics = metrics.keep(&table.routes);
        let site = |(route, metrics)| Rc::new(Site::new(&table.rules, route, metrics));
        Self {
            version: table.version,
            rules: Arc::clone(&table.rules),
            tls: tls.map(|tls| tls.config(table, &index)),
            sites: table.routes.iter().zip(metrics).map(site).collect(),
            default_site: table.routes.iter().position(is_default),
            index,
        }
    }

    /// The site that serves this host.
    pub(crate) fn site(&self, host: &str) -> Option<Rc<Site>> {
        let position = self.index.find(host).or(self.default_site)?;
        Some(Rc::clone(&self.sites[position]))
    }

    pub(crate) fn has_backend(&self, key: &str) -> bool {
        self.sites.iter().any(|site| site.route.all_backends().any(|backend| backend.key == key))
    }
}

/// Requests under way per backend.
#[derive(Default)]
pub(crate) struct InFlight {
    counts: RefCell<HashMap<String, u64>>,
    /// How many of them are connections that have switched protocols.
    switched: Cell<u64>,
    changed: Notify,
}

/// Counts one request for as long as it lives.
pub(crate) struct InFlightGuard {
    counts: Rc<InFlight>,
    key: String,
    is_switched: bool,
    under_way: UnderWay,
}

impl InFlight {
    /// Picks the backend that has the mark `wanted`, else the one with the fewest requests under way, leaving out
    /// `tried`, and counts one more.
    pub(crate) fn choose(
        self: &Rc<Self>,
        backends: &[Backend],
        tried: &[String],
        wanted: Option<&str>,
        metrics: &Arc<AppMetrics>,
    ) -> Option<(Backend, InFlightGuard)> {
        let counts = self.counts.borrow();
        let count = |backend: &&Backend| counts.get(&backend.key).copied().unwrap_or(0);
        // A random start keeps equal backends equally loaded.
        let start = if backends.is_empty() { 0 } else { rand::random_range(0..backends.len()) };
        let rotated = backends[start..].iter().chain(&backends[..start]);
        let mut left = rotated.filter(|backend| !tried.contains(&backend.key));
        let known = wanted.and_then(|wanted| left.clone().find(|it| affinity::mark(&it.key) == wanted));
        let chosen = match known {
            Some(known) => known.clone(),
            None => left.by_ref().min_by_key(count)?.clone(),
        };
        drop(counts);
        *self.counts.borrow_mut().entry(chosen.key.clone()).or_insert(0) += 1;
        let guard = InFlightGuard {
            counts: Rc::clone(self),
            key: chosen.key.clone(),
            is_switched: false,
            under_way: UnderWay::begin(metrics, chosen.release),
        };
        Some((chosen, guard))
    }

    pub(crate) fn total(&self) -> u64 {
        self.counts.borrow().values().sum()
    }

    /// How many need not end before another program takes over: who would come meanwhile would wait for a WebSocket.
    pub(crate) fn not_waited_for(&self, restarting: &AtomicBool) -> u64 {
        if restarting.load(Ordering::Relaxed) { self.switched.get() } else { 0 }
    }

    /// Waits until a request has ended.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    pub(crate) fn snapshot(&self) -> BTreeMap<String, u64> {
        self.counts.borrow().iter().map(|(key, count)| (key.clone(), *count)).collect()
    }
}

impl InFlightGuard {
    /// The counters of the app whose request it is.
    pub(crate) fn metrics(&self) -> &Arc<AppMetrics> {
        self.under_way.metrics()
    }

    /// The connection goes on as something else than HTTP.
    pub(crate) fn switched(&mut self) {
        self.is_switched = true;
        self.counts.switched.set(self.counts.switched.get() + 1);
        self.counts.changed.notify_one();
    }

    /// Tells how the request ends, for the counters of its release: `answered`, `lost`.
    pub(crate) fn under_way(&self) -> &UnderWay {
        &self.under_way
    }
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        let switched = &self.counts.switched;
        switched.set(switched.get() - u64::from(self.is_switched));
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
