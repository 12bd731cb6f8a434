//! A route with the rules that hold for it, worked out once for each table.

use domain::edge::{RouterRules, SiteRules};
use domain::routing::Route;
use http::HeaderValue;

pub(crate) struct Site {
    pub(crate) route: Route,
    pub(crate) rules: SiteRules,
    /// Value of `Strict-Transport-Security`.
    pub(crate) hsts: Option<HeaderValue>,
    pub(crate) referrer_policy: Option<HeaderValue>,
}

impl Site {
    pub(crate) fn new(router: &RouterRules, route: &Route) -> Self {
        let rules = SiteRules::of(router, route);
        let header = |value: &Option<String>| HeaderValue::try_from(value.as_ref()?).ok();
        Self {
            hsts: header(&rules.hsts),
            referrer_policy: header(&rules.referrer_policy),
            route: route.clone(),
            rules,
        }
    }
}
