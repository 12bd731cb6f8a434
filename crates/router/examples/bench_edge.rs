//! Router for `cargo xtask bench router`: one worker, as `workflow router` starts it, and a table that is made
//! here instead of watched.
//!
//! `bench_edge HOSTS CERTIFICATE KEY BACKEND...` serves `app-00000.example.com` and the following, each from the
//! first backend, and prints `ready HTTP-PORT HTTPS-PORT`. A line `NUMBER BACKEND` routes that app to another backend,
//! both counted from 0; the end of the input ends it. `WORKFLOW_LOG` chooses what is logged, as in `workflow`.

mod support;

use std::io::BufRead as _;
use std::net::SocketAddr;
use std::sync::Arc;

use domain::AppName;
use domain::routing::{Backend, Route, RouteOwner};
use router::RouterSettings;
use tracing_subscriber::EnvFilter;

use support::{Failure, Tables};

/// Settings besides the defaults; `nginx.conf` of the bench has the same.
const SETTINGS: [(&str, &str); 3] =
    [("defaultWhitelist", "127.0.0.0/8"), ("requestIDs", "true"), ("requestStartHeader", "true")];

fn main() -> Result<(), Failure> {
    start_log();
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [hosts, certificate, key, backends @ ..] = &arguments[..] else {
        return Err("usage: bench_edge HOSTS CERTIFICATE KEY BACKEND...".into());
    };
    let backends: Vec<SocketAddr> = backends.iter().map(|it| it.parse()).collect::<Result<_, _>>()?;
    let first = *backends.first().ok_or("expected a BACKEND")?;
    let pair = support::pair(certificate, key)?;
    let routes = (0..hosts.parse()?).map(|number| route(number, first).map(Arc::new));
    let tables = Tables::new(support::table(&SETTINGS, routes.collect::<Result<_, _>>()?, pair)?);

    support::run(&settings(), Arc::clone(&tables), || {
        for line in std::io::stdin().lock().lines() {
            change(&tables, &line?, &backends)?;
        }
        Ok(())
    })
}

fn start_log() {
    let filter = EnvFilter::try_from_env("WORKFLOW_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(std::io::stderr).init();
}

fn settings() -> RouterSettings {
    RouterSettings { public_port: Some(80), workers: 1, ..support::settings() }
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
