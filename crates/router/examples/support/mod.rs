//! Shared parts of the examples: a table that is made here instead of watched, and the start of a router.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;

use domain::certs::Pair;
use domain::edge;
use domain::routing::{Route, RouteTable, RouterReport};
use engine::Routes;
use router::{HttpsSettings, Router, RouterSettings};
use tokio::sync::watch;

pub type Failure = Box<dyn Error>;

/// The engine's part.
pub struct Tables(pub watch::Sender<Arc<RouteTable>>);

impl Routes for Tables {
    fn watch(&self) -> watch::Receiver<Arc<RouteTable>> {
        self.0.subscribe()
    }

    fn report(&self, _: RouterReport) {}
}

impl Tables {
    pub fn new(table: RouteTable) -> Arc<Self> {
        Arc::new(Self(watch::Sender::new(Arc::new(table))))
    }
}

/// A first table of these routes, with a router's settings by their text.
pub fn table(settings: &[(&str, &str)], routes: Vec<Arc<Route>>, pair: Pair) -> Result<RouteTable, Failure> {
    let texts = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let (rules, complaints) = edge::router_rules(&texts, "");
    if let Some(complaint) = complaints.first() {
        return Err(complaint.as_str().into());
    }
    let platform_certificate = Some(Arc::new(pair));
    Ok(RouteTable { version: 1, routes, rules: Arc::new(rules), platform_certificate })
}

/// The certificate and the key in these files.
pub fn pair(certificate: &str, key: &str) -> Result<Pair, Failure> {
    Ok(Pair { certificate: std::fs::read_to_string(certificate)?, key: std::fs::read_to_string(key)? })
}

/// Free ports, of which visitors know that of HTTPS as the usual one.
pub fn settings() -> RouterSettings {
    let free_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let https = HttpsSettings { public_port: Some(443), ..HttpsSettings::new(free_port) };
    RouterSettings { https: Some(https), ..RouterSettings::new(free_port) }
}

/// Starts the router, prints `ready HTTP-PORT HTTPS-PORT`, and stops it when `work` has ended.
pub fn run(
    settings: &RouterSettings,
    tables: Arc<Tables>,
    work: impl FnOnce() -> Result<(), Failure>,
) -> Result<(), Failure> {
    let routes: Arc<dyn Routes> = tables;
    let (stop, stopping) = watch::channel(false);
    let router = Router::start(settings, &routes, &stopping)?;
    let https = router.https_address().ok_or("HTTPS was asked for")?;
    println!("ready {} {}", router.address().port(), https.port());
    work()?;
    stop.send_replace(true);
    router.join();
    Ok(())
}
