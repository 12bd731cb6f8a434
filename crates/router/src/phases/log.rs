//! Phase 7: what came of the request, for the metrics, the operator's log, and the app's own where it asked for that.

use std::net::IpAddr;
use std::time::Instant;

use http::{Method, StatusCode};
use hyper::{Request, Response};

use crate::app_log::Access;
use crate::body::ProxyBody;
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

/// The answer, which is told in the app's log once it has ended.
pub(super) fn told(
    answer: Response<ProxyBody>,
    access: Option<Box<Access>>,
    release: Option<u64>,
) -> Response<ProxyBody> {
    let Some(mut access) = access else { return answer };
    access.answered(answer.status(), release);
    answer.map(|body| body.told(access))
}
