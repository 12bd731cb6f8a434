//! A route with the rules that hold for it, worked out once for as long as neither changes.

use std::sync::{Arc, OnceLock};

use domain::edge::{Protocol, RouterRules, SiteRules};
use domain::routing::{Backend, Route};
use domain::services::Paths;
use http::HeaderValue;

use crate::metrics::{AppMetrics, WorkerMetrics};

pub(crate) struct Site {
    pub(crate) route: Arc<Route>,
    pub(crate) rules: SiteRules,
    /// Value of `Strict-Transport-Security`.
    pub(crate) hsts: Option<HeaderValue>,
    pub(crate) referrer_policy: Option<HeaderValue>,
    /// One for each worker. Empty until the app is asked for something: most apps of a large platform are silent.
    metrics: Box<[OnceLock<Arc<AppMetrics>>]>,
    paths: Paths,
}

/// Target of a path.
#[derive(Clone, Copy)]
pub(crate) struct Destination<'a> {
    pub(crate) backends: &'a [Backend],
    pub(crate) wanted: u32,
    /// Clients are sent back to the replica that answered before.
    pub(crate) is_sticky: bool,
    pub(crate) protocol: Protocol,
}

impl Site {
    pub(crate) fn new(router: &RouterRules, route: &Arc<Route>, workers: usize) -> Self {
        let rules = SiteRules::of(router, route);
        let header = |value: &Option<String>| HeaderValue::try_from(value.as_ref()?).ok();
        Self {
            hsts: header(&rules.hsts),
            referrer_policy: header(&rules.referrer_policy),
            paths: Paths::new(route.services.iter().map(|service| service.path_pattern.as_str())),
            route: Arc::clone(route),
            rules,
            metrics: std::iter::repeat_with(OnceLock::new).take(workers).collect(),
        }
    }

    pub(crate) fn has_backend(&self, key: &str) -> bool {
        self.route.all_backends().any(|backend| backend.key == key)
    }

    /// Returns true if it claims the same hosts as `other`, by the same claim.
    pub(crate) fn has_hosts_of(&self, other: &Self) -> bool {
        let class = |site: &Self| std::mem::discriminant(&site.route.owner);
        let (own, others) = (&self.route, &other.route);
        class(self) == class(other) && own.own_hosts == others.own_hosts && own.domains == others.domains
    }

    pub(crate) fn backends_without_those_of(&self, other: &Self) -> Vec<String> {
        let keys = self.route.all_backends().map(|backend| &backend.key);
        keys.filter(|key| !other.has_backend(key)).cloned().collect()
    }

    pub(crate) fn metrics(&self, worker: &WorkerMetrics) -> &Arc<AppMetrics> {
        self.metrics[worker.number].get_or_init(|| worker.of(&self.route.owner))
    }

    /// Target of requests for this path. There is one cookie, so sticky sessions apply to the app's own target.
    pub(crate) fn destination(&self, path: &str) -> Destination<'_> {
        match self.paths.find(path).map(|service| &self.route.services[service]) {
            Some(service) => Destination {
                backends: &service.backends,
                wanted: service.wanted,
                is_sticky: false,
                protocol: service.protocol.unwrap_or(self.rules.protocol),
            },
            None => Destination {
                backends: &self.route.backends,
                wanted: self.route.wanted,
                is_sticky: self.rules.sticky,
                protocol: self.rules.protocol,
            },
        }
    }
}
