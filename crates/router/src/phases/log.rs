//! Phase 7: what came of the request, for the metrics, the operator's log, and the app's own where it asked for that.

use std::net::IpAddr;
use std::time::Instant;

use domain::routing::RouteOwner;
use http::{Method, StatusCode};
use hyper::{Request, Response};

use crate::access::AccessLines;
use crate::app_log::Access;
use crate::body::ProxyBody;
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
