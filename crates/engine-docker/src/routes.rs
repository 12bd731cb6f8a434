//! The route table and its publisher, which the router watches and reports to.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use domain::certs::Pair;
use domain::routing::{Backend, Route, RouteOwner, RouteTable, RouterReport};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::{DockerEngine, DockerSettings};
use engine::Routes;

/// Longest time for requests under way to keep a replica from being stopped.
const DRAIN_MAX: Duration = Duration::from_secs(10);
/// A router that said nothing for this long is not there.
const REPORT_AGE_MAX: Duration = Duration::from_secs(2);
/// Wait in place of reports, if no router reports that it uses the table.
const BLIND_DRAIN: Duration = Duration::from_millis(500);

/// All routes by owner; each change makes a new table.
pub struct RoutePublisher {
    routes: Mutex<BTreeMap<RouteOwner, Arc<Route>>>,
    table: watch::Sender<Arc<RouteTable>>,
    report: watch::Sender<Option<(Instant, RouterReport)>>,
}

impl Routes for DockerEngine {
    fn watch(&self) -> watch::Receiver<Arc<RouteTable>> {
        self.inner.routes.table.subscribe()
    }

    fn report(&self, report: RouterReport) {
        self.inner.routes.report.send_replace(Some((Instant::now(), report)));
    }
}

impl RoutePublisher {
    /// A table with the platform's own routes.
    pub fn new(settings: &DockerSettings) -> Self {
        let routes: BTreeMap<_, _> = settings
            .platform_routes
            .iter()
            .map(|(label, address)| platform_route(settings, label, *address))
            .map(|route| (route.owner.clone(), Arc::new(route)))
            .collect();
        let table = RouteTable {
            version: 1,
            routes: routes.values().cloned().collect(),
            rules: Arc::new(settings.router_rules.clone()),
            platform_certificate: None,
        };
        Self {
            routes: Mutex::new(routes),
            table: watch::Sender::new(Arc::new(table)),
            report: watch::Sender::new(None),
        }
    }

    /// Replaces the route of one owner and returns the version of a table that shows it.
    pub fn set(&self, owner: RouteOwner, route: Option<Route>) -> u64 {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        if routes.get(&owner).map(|route| &**route) != route.as_ref() {
            match route {
                Some(route) => routes.insert(owner, Arc::new(route)),
                None => routes.remove(&owner),
            };
            let routes = routes.values().cloned().collect();
            self.table.send_modify(|table| {
                *table = Arc::new(RouteTable { version: table.version + 1, routes, ..(**table).clone() });
            });
        }
        self.table.borrow().version
    }

    /// Replaces what hosts without a certificate of their own are served with.
    pub fn set_platform_certificate(&self, pair: Option<Pair>) {
        self.table.send_if_modified(|table| {
            let is_new = table.platform_certificate.as_deref() != pair.as_ref();
            if is_new {
                let platform_certificate = pair.map(Arc::new);
                let version = table.version + 1;
                *table = Arc::new(RouteTable { version, platform_certificate, ..(**table).clone() });
            }
            is_new
        });
    }

    /// Waits until the router uses `version` and no request is under way at the backend, within a time limit.
    pub async fn drain(&self, key: &str, version: u64) {
        if timeout(DRAIN_MAX, self.idle(key, version)).await.is_err() {
            tracing::info!(backend = key, "stopping a replica with requests still under way");
        }
    }

    async fn idle(&self, key: &str, version: u64) {
        let mut reports = self.report.subscribe();
        let begun = Instant::now();
        loop {
            let (is_idle, is_blind) = match reports.borrow_and_update().as_ref() {
                Some((at, report)) => (is_idle(report, key, version), at.elapsed() > REPORT_AGE_MAX),
                None => (false, true),
            };
            if is_idle || is_blind && begun.elapsed() >= BLIND_DRAIN {
                return;
            }
            tokio::select! {
                _ = reports.changed() => {}
                () = sleep(BLIND_DRAIN) => {}
            }
        }
    }
}

fn is_idle(report: &RouterReport, key: &str, version: u64) -> bool {
    report.table_version >= version && report.in_flight.get(key).is_none_or(|count| *count == 0)
}

fn platform_route(settings: &DockerSettings, label: &str, address: std::net::SocketAddr) -> Route {
    let backend = Backend { key: format!("platform-{label}"), address, release: 0 };
    let host = format!("{label}.{}", settings.platform_domain);
    Route::plain(RouteOwner::Platform(label.to_owned()), host, vec![backend])
}
