//! Phase 8: what came of the request, for the metrics, the operator's log, and the app's own where it asked for that.

use std::net::IpAddr;
use std::time::Instant;

use domain::routing::RouteOwner;
use http::{Method, StatusCode};
use hyper::{Request, Response};

use crate::access_log::app_log::{self, LogEntry};
use crate::access_log::operator_log::AccessLines;
use crate::body::ProxyBody;
use crate::http1::response_error::ResponseError;
use crate::state::WorkerState;
use crate::table::site::Site;

pub(super) struct AccessEntry {
    begun: Instant,
    method: Method,
    /// Path for an access line, if they are enabled.
    path: Option<String>,
    client: IpAddr,
}

impl AccessEntry {
    pub(super) fn begin<B>(request: &Request<B>, client: IpAddr) -> Self {
        // The query may hold secrets; it stays out.
        let path = AccessLines::are_wanted().then(|| request.uri().path().to_owned());
        Self { begun: Instant::now(), method: request.method().clone(), path, client }
    }

    pub(super) fn end(self, shared: &WorkerState, site: Option<&Site>, status: StatusCode) {
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

/// Logged status for a client that left before the response.
pub(super) fn visitor_left() -> StatusCode {
    StatusCode::from_u16(app_log::VISITOR_LEFT).expect("three digits")
}

/// The entry of a request that waits for an app. Dropped before there is a response, it records that the client
/// left.
pub(super) struct PendingEntry<'a> {
    entry: Option<AccessEntry>,
    shared: &'a WorkerState,
    site: &'a Site,
}

impl<'a> PendingEntry<'a> {
    pub(super) fn begin(entry: AccessEntry, shared: &'a WorkerState, site: &'a Site) -> Self {
        Self { entry: Some(entry), shared, site }
    }

    /// The answer is there.
    pub(super) fn end(mut self, status: StatusCode) {
        let entry = self.entry.take();
        entry.into_iter().for_each(|entry| entry.end(self.shared, Some(self.site), status));
    }
}

impl Drop for PendingEntry<'_> {
    fn drop(&mut self) {
        let entry = self.entry.take();
        entry.into_iter().for_each(|entry| entry.end(self.shared, Some(self.site), visitor_left()));
    }
}

/// The response, which is logged in the app's log once it has ended.
pub(super) fn logged(
    answer: Response<ProxyBody>,
    access: Option<Box<LogEntry>>,
    release: Option<u64>,
) -> Response<ProxyBody> {
    let Some(mut access) = access else { return answer };
    access.answered(answer.status(), release, answer.extensions().get::<ResponseError>().copied());
    answer.map(|body| body.logged(access))
}
