//! Phase 7: what came of the request, for the metrics and the operator's log. The app's own log holds what the app
//! says, as in Deis; access lines never entered it.

use std::net::IpAddr;
use std::time::Instant;

use http::{Method, StatusCode};
use hyper::Request;

use crate::metrics::WorkerMetrics;
use crate::site::Site;

pub(super) struct Entry {
    begun: Instant,
    method: Method,
    path: String,
    client: IpAddr,
}

impl Entry {
    pub(super) fn begin<B>(request: &Request<B>, client: IpAddr) -> Self {
        // The query may hold secrets; it stays out.
        let path = if tracing::enabled!(target: "access", tracing::Level::DEBUG) {
            request.uri().path().to_owned()
        } else {
            String::new()
        };
        Self { begun: Instant::now(), method: request.method().clone(), path, client }
    }

    pub(super) fn end(self, metrics: &WorkerMetrics, site: Option<&Site>, status: StatusCode) {
        let Self { begun, method, path, client } = self;
        let took = begun.elapsed();
        site.map_or(&metrics.nobody, |site| site.metrics(metrics)).answered(status, took);
        tracing::debug!(
            target: "access",
            owner = ?site.map(|site| &site.route.owner), %client, %method, path, status = status.as_u16(),
            seconds = took.as_secs_f64(),
            "request"
        );
    }
}
