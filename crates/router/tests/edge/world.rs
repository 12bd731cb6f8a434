//! A router on a free port with a table that the test sets.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::AppName;
use domain::certs::Pair;
use domain::edge::RouterRules;
use domain::logs::LogLine;
use domain::routing::{Backend, Claim, Route, RouteOwner, RouteTable, RouterReport};
use engine::Routes;
use engine::fake::LogRecorder;
use router::{HttpsSettings, Router, RouterParts, RouterSettings};
use testkit::{WAIT_MAX, wait_until_blocking};
use tokio::sync::watch;

/// The engine's part: a table to watch and a receiver of reports.
struct Table {
    sender: watch::Sender<Arc<RouteTable>>,
    last_report: Mutex<Option<RouterReport>>,
}

impl Routes for Table {
    fn watch(&self) -> watch::Receiver<Arc<RouteTable>> {
        self.sender.subscribe()
    }

    fn report(&self, report: RouterReport) {
        *self.last_report.lock().expect("no test panics while it holds this") = Some(report);
    }
}

pub struct World {
    pub address: SocketAddr,
    pub https_address: SocketAddr,
    table: Arc<Table>,
    /// Lines in apps' logs.
    told: Arc<LogRecorder>,
    shutdown: watch::Sender<bool>,
    router: Option<Router>,
}

impl World {
    pub fn start() -> Self {
        Self::start_with(|_| ())
    }

    pub fn start_with(change: impl FnOnce(&mut RouterSettings)) -> Self {
        let mut settings = RouterSettings::new(([127, 0, 0, 1], 0).into());
        settings.workers = 2;
        settings.https = Some(HttpsSettings::new(([127, 0, 0, 1], 0).into()));
        settings.hold_timeout = Duration::from_secs(5);
        change(&mut settings);
        let table = Arc::new(Table { sender: watch::Sender::default(), last_report: Mutex::default() });
        let (shutdown, stopped) = watch::channel(false);
        let told = Arc::<LogRecorder>::default();
        let parts = RouterParts { log_sink: Some(told.clone()), ..RouterParts::new(table.clone()) };
        let router = Router::start_with(&settings, parts, &stopped).expect("a free port");
        let https_address = router.https_address().expect("it was asked for");
        Self { address: router.address(), https_address, table, told, shutdown, router: Some(router) }
    }

    /// Replaces the table and waits until all workers have it.
    pub fn serve(&self, routes: Vec<Route>) {
        self.update(|table| table.routes = routes.into_iter().map(Arc::new).collect());
    }

    /// Changes what all routers are told, and waits until all workers know.
    pub fn tell(&self, change: impl FnOnce(&mut RouterRules)) {
        let mut rules = (*self.table.sender.borrow().rules).clone();
        change(&mut rules);
        self.update(|table| table.rules = Arc::new(rules));
    }

    /// Replaces the certificate of hosts that have none of their own.
    pub fn set_platform_certificate(&self, pair: Pair) {
        self.update(|table| table.platform_certificate = Some(Arc::new(pair)));
    }

    fn update(&self, change: impl FnOnce(&mut RouteTable)) {
        let version = self.publish(change);
        self.wait_for_report(|report| report.table_version == version);
    }

    /// Replaces the table without waiting for anybody; tells its version.
    pub fn publish(&self, change: impl FnOnce(&mut RouteTable)) -> u64 {
        let mut table = (**self.table.sender.borrow()).clone();
        table.version += 1;
        change(&mut table);
        let version = table.version;
        self.table.sender.send_replace(Arc::new(table));
        version
    }

    pub fn wait_for_report(&self, wanted: impl Fn(&RouterReport) -> bool) {
        wait_until_blocking("the wanted report", WAIT_MAX, || {
            let report = self.table.last_report.lock().expect("not poisoned").clone();
            if report.as_ref().is_some_and(&wanted) { Ok(()) } else { Err(report) }
        });
    }

    /// Counters of the router, in the form of Prometheus.
    pub fn metrics(&self) -> String {
        self.router.as_ref().expect("it runs").metrics().text()
    }

    /// Waits until the router tells this line, named without the prefix that all have.
    pub fn wait_for_metric(&self, line: &str) {
        let line = format!("workflow_router_{line}");
        wait_until_blocking(&line, WAIT_MAX, || match self.metrics() {
            metrics if metrics.lines().any(|told| told == line) => Ok(()),
            metrics => Err(metrics),
        });
    }

    /// Waits until the log of an app has this many lines, and gives them as users see them, without the time.
    pub fn log(&self, app: &str, lines: usize) -> Vec<String> {
        wait_until_blocking(&format!("{lines} lines of {app}"), WAIT_MAX, || {
            let told = self.told.lines();
            let of_app = told.iter().filter(|line| line.app.as_str() == app).map(LogLine::render);
            let of_app: Vec<_> =
                of_app.map(|line| line.split_once(' ').expect("a time and a text").1.to_owned()).collect();
            if of_app.len() >= lines { Ok(of_app) } else { Err(of_app) }
        })
    }

    /// Asks the router to stop; does not wait.
    pub fn shut_down(&self) {
        self.shutdown.send_replace(true);
    }

    /// Stops it, and gives what the app was told until its very end.
    pub fn stop_and_read(mut self, app: &str) -> Vec<String> {
        self.shut_down();
        self.router.take().expect("not joined before").join();
        self.log(app, 0)
    }

    /// Waits until it has drained.
    pub fn join(mut self) {
        self.router.take().expect("not joined before").join();
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.shut_down();
    }
}

/// A route of the app `name` at `<name>.test`.
pub fn route(name: &str, backends: &[&crate::app::App]) -> Route {
    let backend = |app: &&crate::app::App| Backend { key: app.key.clone(), address: app.address, release: 1 };
    let owner = RouteOwner::App(AppName::parse(name).expect("a good name"));
    Route::plain(owner, format!("{name}.test"), backends.iter().map(backend).collect())
}

pub fn claim(host: &str, since_ms: i64) -> Claim {
    Claim { host: host.to_owned(), since_ms }
}
