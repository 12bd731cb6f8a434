//! What `cargo xtask bench router` measures: the router with one worker, as `workflow router` starts it, and a table
//! that is made here instead of watched.
//!
//! `bench_edge HOSTS CERTIFICATE KEY BACKEND...` serves `app-00000.example.com` and the following, each from the
//! first backend, and prints `ready HTTP-PORT HTTPS-PORT`. A line `NUMBER BACKEND` routes that app to another backend,
//! both counted from 0; the end of the input ends it. `WORKFLOW_LOG` chooses what is logged, as in `workflow`.

use std::io::BufRead as _;
use std::net::SocketAddr;
use std::sync::Arc;

use domain::AppName;
use domain::certs::Pair;
use domain::edge;
use domain::routing::{Backend, Route, RouteOwner, RouteTable, RouterReport};
use engine::Routes;
use router::{HttpsSettings, Router, RouterSettings};
use tokio::sync::watch;
use tracing_subscriber::EnvFilter;

type Failure = Box<dyn std::error::Error>;

/// What the router's configuration has besides the defaults; `nginx.conf` of the bench has the same.
const SETTINGS: [(&str, &str); 3] =
    [("defaultWhitelist", "127.0.0.0/8"), ("requestIDs", "true"), ("requestStartHeader", "true")];

/// The engine's part: a table to watch.
struct Tables(watch::Sender<Arc<RouteTable>>);

impl Routes for Tables {
    fn watch(&self) -> watch::Receiver<Arc<RouteTable>> {
        self.0.subscribe()
    }

    fn report(&self, _: RouterReport) {}
}

fn main() -> Result<(), Failure> {
    start_log();
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [hosts, certificate, key, backends @ ..] = &arguments[..] else {
        return Err("usage: bench_edge HOSTS CERTIFICATE KEY BACKEND...".into());
    };
    let backends: Vec<SocketAddr> = backends.iter().map(|it| it.parse()).collect::<Result<_, _>>()?;
    let first = *backends.first().ok_or("expected a BACKEND")?;
    let pair =
        Pair { certificate: std::fs::read_to_string(certificate)?, key: std::fs::read_to_string(key)? };
    let tables = Arc::new(Tables(watch::Sender::new(Arc::new(table(hosts.parse()?, first, pair)?))));

    let routes: Arc<dyn Routes> = tables.clone();
    let (stop, stopping) = watch::channel(false);
    let router = Router::start(&settings(), &routes, &stopping)?;
    let https = router.https_address().ok_or("HTTPS was asked for")?;
    println!("ready {} {}", router.address().port(), https.port());

    for line in std::io::stdin().lock().lines() {
        change(&tables, &line?, &backends)?;
    }
    stop.send_replace(true);
    router.join();
    Ok(())
}

fn start_log() {
    let filter = EnvFilter::try_from_env("WORKFLOW_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(std::io::stderr).init();
}

fn settings() -> RouterSettings {
    let free_port = SocketAddr::from(([127, 0, 0, 1], 0));
    RouterSettings {
        public_port: Some(80),
        https: Some(HttpsSettings { public_port: Some(443), ..HttpsSettings::new(free_port) }),
        workers: 1,
        ..RouterSettings::new(free_port)
    }
}

fn table(hosts: usize, backend: SocketAddr, pair: Pair) -> Result<RouteTable, Failure> {
    let texts = SETTINGS.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let (rules, complaints) = edge::router_rules(&texts, "");
    if let Some(complaint) = complaints.first() {
        return Err(complaint.as_str().into());
    }
    Ok(RouteTable {
        version: 1,
        routes: (0..hosts).map(|number| route(number, backend).map(Arc::new)).collect::<Result<_, _>>()?,
        rules: Arc::new(rules),
        platform_certificate: Some(Arc::new(pair)),
    })
}

fn route(number: usize, backend: SocketAddr) -> Result<Route, Failure> {
    let name = format!("app-{number:05}");
    let backend = Backend { key: format!("{name}-{backend}"), address: backend, release: 1 };
    let owner = RouteOwner::App(AppName::parse(&name)?);
    Ok(Route::plain(owner, format!("{name}.example.com"), vec![backend]))
}

/// Publishes a whole new table, as engines do.
fn change(tables: &Tables, line: &str, backends: &[SocketAddr]) -> Result<(), Failure> {
    let (number, backend) = line.split_once(' ').ok_or("expected a line `NUMBER BACKEND`")?;
    let backend = backends.get(backend.parse::<usize>()?).ok_or("there is no such backend")?;
    let number = number.parse()?;
    let mut table = (**tables.0.borrow()).clone();
    *table.routes.get_mut(number).ok_or("there is no such app")? = Arc::new(route(number, *backend)?);
    table.version += 1;
    tables.0.send_replace(Arc::new(table));
    Ok(())
}
