//! Phase 6: what came of the request, for the metrics and the operator's log. The app's own log holds what the app
//! says, as in Deis; access lines never entered it.

use std::net::IpAddr;
use std::time::Instant;

use domain::routing::RouteOwner;
use http::{Method, StatusCode};
use hyper::Request;

use crate::access::AccessLines;
use crate::site::Site;
use crate::worker::Shared;

pub(super) struct Entry {
    begun: Instant,
    method: Method,
    /// Where the operator wants a line.
    path: Option<String>,
    client: IpAddr,
}

impl Entry {
    pub(super) fn begin<B>(request: &Request<B>, client: IpAddr) -> Self {
        // The query may hold secrets; it stays out.
        let path = AccessLines::are_wanted().then(|| request.uri().path().to_owned());
        Self { begun: Instant::now(), method: request.method().clone(), path, client }
    }

    pub(super) fn end(self, shared: &Shared, site: Option<&Site>, status: StatusCode) {
        let Self { begun, method, path, client } = self;
        let took = begun.elapsed();
        let metrics = &shared.metrics;
        site.map_or(&metrics.nobody, |site| site.metrics(metrics)).answered(status, took);
        if let Some(path) = path {
            let app = match site.map(|site| &site.route.owner) {
                Some(RouteOwner::App(app)) => app.as_str(),
                Some(RouteOwner::Platform(part)) => part,
                None => "-",
            };
            let (status, micros) = (status.as_u16(), took.as_micros());
            shared.access.add(format_args!(
                "app={app} client={client} method={method} path={path:?} status={status} seconds={}.{:06}",
                micros / 1_000_000,
                micros % 1_000_000,
            ));
        }
    }
}
