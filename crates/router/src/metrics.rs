//! Counters of the router, for Prometheus.
//!
//! Each worker writes counters of its own, without locks or shared cache lines; a scrape reads those of all and
//! adds them up. A lock is taken for the first request of an app, and for a new table.

mod releases;
mod text;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::AppName;
use domain::routing::{Route, RouteOwner};
use http::StatusCode;

use self::releases::Releases;
pub(crate) use self::releases::{ReleaseSum, RequestInFlight};

/// Apps with counters of their own, per worker; those that come later share one set.
const APPS_MAX: usize = 10_000;
/// Upper bounds of the histogram's buckets; the last bucket has none.
const BUCKETS_MS: [u64; 9] = [5, 10, 25, 50, 100, 250, 1_000, 5_000, 30_000];

/// The counters of all workers.
pub struct Metrics {
    workers: Vec<Arc<WorkerMetrics>>,
}

/// The counters of one worker.
#[derive(Default)]
pub(crate) struct WorkerMetrics {
    /// The worker's place among all.
    pub(crate) number: usize,
    /// Open client connections.
    pub(crate) connections: Counter,
    /// Requests that each path has served.
    pub(crate) on_fast_path: Counter,
    pub(crate) on_slow_path: Counter,
    /// Requests that mean no app: unknown hosts, malformed heads.
    pub(crate) nobody: Arc<AppMetrics>,
    others: Arc<AppMetrics>,
    tables: Counter,
    /// Apps of the table that have been asked for something.
    apps: Mutex<HashMap<RouteOwner, Arc<AppMetrics>>>,
}

/// The counters of one app at one worker.
#[derive(Default)]
pub(crate) struct AppMetrics {
    /// By class, from 1xx to 5xx.
    answers: [Counter; 5],
    /// Each answer in the one bucket where it belongs.
    latency: [Counter; BUCKETS_MS.len() + 1],
    latency_us: Counter,
    /// Body bytes received from clients, and from the app.
    pub(crate) bytes_in: Counter,
    pub(crate) bytes_out: Counter,
    /// Attempts that reached nobody, so that another followed.
    pub(crate) retries: Counter,
    /// Requests and switched connections that an app has in hand.
    pub(crate) under_way: Counter,
    pub(crate) releases: Releases,
}

/// A number that one thread writes and any may read. Only the thread of its worker may change it.
#[derive(Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, more: u64) {
        // Read and written apart, which is cheaper than an atomic addition: nobody else writes.
        self.0.store(self.get().wrapping_add(more), Ordering::Relaxed);
    }

    pub(crate) fn subtract(&self, less: u64) {
        self.0.store(self.get().wrapping_sub(less), Ordering::Relaxed);
    }

    fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Metrics {
    pub(crate) fn new(workers: usize) -> Self {
        let worker = |number| Arc::new(WorkerMetrics { number, ..WorkerMetrics::default() });
        Self { workers: (0..workers).map(worker).collect() }
    }

    pub(crate) fn worker(&self, number: usize) -> Arc<WorkerMetrics> {
        Arc::clone(&self.workers[number])
    }

    /// Number of tables that workers have taken over since the start.
    pub(crate) fn tables_taken(&self) -> u64 {
        self.workers.iter().map(|worker| worker.tables.get()).sum()
    }

    /// Counters of each release of an app, of all workers.
    pub(crate) fn releases(&self) -> BTreeMap<(AppName, u64), ReleaseSum> {
        let mut sums: BTreeMap<(AppName, u64), ReleaseSum> = BTreeMap::new();
        for worker in &self.workers {
            for (owner, metrics) in worker.lock().iter() {
                let RouteOwner::App(app) = owner else { continue };
                for (release, sum) in metrics.releases.sums() {
                    sums.entry((app.clone(), release)).or_default().add(sum);
                }
            }
        }
        sums
    }

    /// All of it in Prometheus' text format, version 0.0.4.
    pub fn text(&self) -> String {
        text::text(&self.workers, &self.releases())
    }
}

impl WorkerMetrics {
    /// Forgets what was counted for apps that are no longer in the table.
    pub(crate) fn keep_only<'a>(&self, owners: impl Iterator<Item = &'a RouteOwner>) {
        let owners: HashSet<_> = owners.collect();
        self.lock().retain(|owner, _| owners.contains(owner));
    }

    /// Notes that a table was taken over, in which these routes are new, and which releases have left with it.
    pub(crate) fn note_table<'a>(&self, new: impl Iterator<Item = &'a Route>) {
        let apps = self.lock();
        for route in new {
            apps.get(&route.owner).inspect(|metrics| metrics.releases.note_routes(route));
        }
        self.tables.add(1);
    }

    /// The counters of an app; it has some from here on.
    pub(crate) fn of(&self, owner: &RouteOwner) -> Arc<AppMetrics> {
        let mut apps = self.lock();
        if let Some(metrics) = apps.get(owner) {
            return Arc::clone(metrics);
        }
        if apps.len() >= APPS_MAX {
            return Arc::clone(&self.others);
        }
        Arc::clone(apps.entry(owner.clone()).or_default())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RouteOwner, Arc<AppMetrics>>> {
        self.apps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AppMetrics {
    /// Notes an answer, and how long its head took.
    pub(crate) fn answered(&self, status: StatusCode, took: Duration) {
        let class = usize::from(status.as_u16() / 100).clamp(1, self.answers.len());
        self.answers[class - 1].add(1);
        let bucket = BUCKETS_MS.partition_point(|bound| took > Duration::from_millis(*bound));
        self.latency[bucket].add(1);
        self.latency_us.add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    fn add(&self, other: &Self) {
        // Releases are not added up: each has its own lines.
        let Self { answers, latency, latency_us, bytes_in, bytes_out, retries, under_way, releases: _ } =
            self;
        let pairs = answers.iter().zip(&other.answers).chain(latency.iter().zip(&other.latency));
        pairs.for_each(|(sum, more)| sum.add(more.get()));
        latency_us.add(other.latency_us.get());
        bytes_in.add(other.bytes_in.get());
        bytes_out.add(other.bytes_out.get());
        retries.add(other.retries.get());
        under_way.add(other.under_way.get());
    }
}

/// One client connection, for as long as it lives.
pub(crate) struct ConnectionCount(Arc<WorkerMetrics>);

impl ConnectionCount {
    pub(crate) fn begin(metrics: &Arc<WorkerMetrics>) -> Self {
        metrics.connections.add(1);
        Self(Arc::clone(metrics))
    }
}

impl Drop for ConnectionCount {
    fn drop(&mut self) {
        self.0.connections.subtract(1);
    }
}
