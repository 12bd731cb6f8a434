//! A route with the rules that hold for it, worked out once for each table.

use std::cell::OnceCell;
use std::sync::Arc;

use domain::edge::{RouterRules, SiteRules};
use domain::routing::Route;
use http::HeaderValue;

use crate::metrics::{AppMetrics, WorkerMetrics};

pub(crate) struct Site {
    pub(crate) route: Route,
    pub(crate) rules: SiteRules,
    /// Value of `Strict-Transport-Security`.
    pub(crate) hsts: Option<HeaderValue>,
    pub(crate) referrer_policy: Option<HeaderValue>,
    /// Empty until the app is asked for something: most apps of a large platform are silent.
    metrics: OnceCell<Arc<AppMetrics>>,
}

impl Site {
    pub(crate) fn new(router: &RouterRules, route: &Route, metrics: Option<Arc<AppMetrics>>) -> Self {
        let rules = SiteRules::of(router, route);
        let header = |value: &Option<String>| HeaderValue::try_from(value.as_ref()?).ok();
        Self {
            hsts: header(&rules.hsts),
            referrer_policy: header(&rules.referrer_policy),
            route: route.clone(),
            rules,
            metrics: metrics.map(OnceCell::from).unwrap_or_default(),
        }
    }

    pub(crate) fn metrics(&self, worker: &WorkerMetrics) -> &Arc<AppMetrics> {
        self.metrics.get_or_init(|| worker.of(&self.route.owner))
    }
}
