//! Router for `cargo xtask wire`: as `workflow router` starts it, with HSTS on, in front of one app that answers
//! every host and path.
//!
//! `strict_edge CERTIFICATE KEY` prints `ready HTTP-PORT HTTPS-PORT`; the end of its input ends it.

mod support;

use std::convert::Infallible;
use std::sync::Arc;

use domain::AppName;
use domain::routing::{Backend, Route, RouteOwner};
use http::HeaderValue;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use support::{Failure, Tables};

const APP: &str = "hello";
const SETTINGS: [(&str, &str); 4] = [
    ("defaultAppName", APP),
    ("ssl.hsts.enabled", "true"),
    ("ssl.hsts.includeSubDomains", "true"),
    ("ssl.hsts.preload", "true"),
];

fn main() -> Result<(), Failure> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [certificate, key] = &arguments[..] else {
        return Err("usage: strict_edge CERTIFICATE KEY".into());
    };
    let pair = support::pair(certificate, key)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let app = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
    let address = app.local_addr()?;
    runtime.spawn(serve(app));

    let backend = Backend { key: APP.to_owned(), address, release: 1 };
    let route = Route::plain(RouteOwner::App(AppName::parse(APP)?), format!("{APP}.test"), vec![backend]);
    let table = support::table(&SETTINGS, vec![Arc::new(route)], pair)?;
    support::run(&support::settings(), Tables::new(table), || {
        std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
        Ok(())
    })
}

/// Security headers of a careful app; routers leave them alone.
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
