//! What `cargo xtask wire` examines: the router as `workflow router` starts it, with HSTS on, in front of one app that
//! answers every host and path.
//!
//! `strict_edge CERTIFICATE KEY` prints `ready HTTP-PORT HTTPS-PORT`; the end of its input ends it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use domain::AppName;
use domain::certs::Pair;
use domain::edge;
use domain::routing::{Backend, Route, RouteOwner, RouteTable, RouterReport};
use engine::Routes;
use http::HeaderValue;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use router::{HttpsSettings, Router, RouterSettings};
use tokio::net::TcpListener;
use tokio::sync::watch;

type Failure = Box<dyn std::error::Error>;

const APP: &str = "hello";
const SETTINGS: [(&str, &str); 4] = [
    ("defaultAppName", APP),
    ("ssl.hsts.enabled", "true"),
    ("ssl.hsts.includeSubDomains", "true"),
    ("ssl.hsts.preload", "true"),
];

/// The engine's part: a table that never changes.
struct Tables(watch::Sender<Arc<RouteTable>>);

impl Routes for Tables {
    fn watch(&self) -> watch::Receiver<Arc<RouteTable>> {
        self.0.subscribe()
    }

    fn report(&self, _: RouterReport) {}
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [certificate, key] = &arguments[..] else {
        return Err("usage: strict_edge CERTIFICATE KEY".into());
    };
    let pair =
        Pair { certificate: std::fs::read_to_string(certificate)?, key: std::fs::read_to_string(key)? };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let app = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
    let address = app.local_addr()?;
    runtime.spawn(serve(app));

    let routes: Arc<dyn Routes> = Arc::new(Tables(watch::Sender::new(Arc::new(table(address, pair)?))));
    let free_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut settings = RouterSettings::new(free_port);
    settings.https = Some(HttpsSettings { public_port: Some(443), ..HttpsSettings::new(free_port) });
    let (stop, stopping) = watch::channel(false);
    let router = Router::start(&settings, &routes, &stopping)?;
    let https = router.https_address().ok_or("HTTPS was asked for")?;
    println!("ready {} {}", router.address().port(), https.port());

    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    stop.send_replace(true);
    router.join();
    Ok(())
}

fn table(app: SocketAddr, pair: Pair) -> Result<RouteTable, Failure> {
    let texts = SETTINGS.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let (rules, complaints) = edge::router_rules(&texts, "");
    if let Some(complaint) = complaints.first() {
        return Err(complaint.as_str().into());
    }
    let backend = Backend { key: APP.to_owned(), address: app, release: 1 };
    let owner = RouteOwner::App(AppName::parse(APP)?);
    Ok(RouteTable {
        version: 1,
        routes: vec![Arc::new(Route::plain(owner, format!("{APP}.test"), vec![backend]))],
        rules: Arc::new(rules),
        platform_certificate: Some(Arc::new(pair)),
    })
}

/// What a careful app says for itself; routers leave it alone.
const SECURITY_HEADERS: [(&str, &str); 3] = [
    ("content-security-policy", "default-src 'self'"),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
];

/// The app: reads what it is sent and says hello.
async fn serve(listener: TcpListener) -> std::io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        let http = hyper::server::conn::http1::Builder::new();
        tokio::spawn(http.serve_connection(TokioIo::new(stream), service_fn(hello)));
    }
}

async fn hello(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    // A body that breaks off is the visitor's business.
    let _ = request.into_body().collect().await;
    let mut answer = Response::new(Full::from("hello\n"));
    for (name, value) in SECURITY_HEADERS {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    Ok(answer)
}
