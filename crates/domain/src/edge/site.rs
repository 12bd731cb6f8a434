//! Effective settings for the requests of one app: the router's merged with the app's own.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Hsts, Protocol, ProxyHeader, RequestLimits, RouterRules};
use crate::networks::Network;
use crate::routing::Route;

/// Oldest version of TLS that may be spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TlsVersion {
    V1_2,
    V1_3,
}

/// The rules of one route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteRules {
    /// Networks of allowed clients; `None` means everyone.
    pub whitelist: Option<Vec<Network>>,
    pub https_enforced: bool,
    /// Value of `Strict-Transport-Security`.
    pub hsts: Option<String>,
    /// `None` leaves it to the router's own setting.
    pub connect_timeout: Option<Duration>,
    /// Longest silence of the app.
    pub timeout: Duration,
    /// Largest request body; `None` has no bound.
    pub body_bytes_max: Option<u64>,
    /// Request bodies come in as a whole before a replica is asked.
    pub request_buffering: bool,
    /// Compresses responses.
    pub gzip: bool,
    /// Offers zstd beside gzip.
    pub zstd: bool,
    pub limits: RequestLimits,
    pub protocol: Protocol,
    pub proxy_header: Option<ProxyHeader>,
    /// Sends clients back to the replica that answered them before.
    pub sticky: bool,
    pub referrer_policy: Option<String>,
    /// Sends the time of the request to the app.
    pub request_start: bool,
    /// Logs requests in the app's log.
    pub access_log: bool,
}

impl SiteRules {
    /// Merges the settings of the router and of a route. The route's own win, but cannot turn off HTTPS that the
    /// router enforces.
    pub fn of(router: &RouterRules, route: &Route) -> Self {
        let (app, edge) = (&route.rules, &route.edge);
        let hsts = Hsts {
            enabled: app.hsts.unwrap_or(router.hsts.enabled),
            seconds: app.hsts_seconds.unwrap_or(router.hsts.seconds),
            include_subdomains: app.hsts_include_subdomains.unwrap_or(router.hsts.include_subdomains),
            preload: app.hsts_preload.unwrap_or(router.hsts.preload),
        };
        Self {
            whitelist: whitelist(router, &edge.whitelist),
            // A browser that has seen HSTS uses only HTTPS: plain HTTP must not be served.
            https_enforced: edge.https_enforced || router.https_enforced || hsts.enabled,
            hsts: hsts.enabled.then(|| hsts_value(&hsts)),
            connect_timeout: app.connect_timeout,
            timeout: app.timeout.unwrap_or(router.timeout),
            body_bytes_max: app.body_bytes_max.unwrap_or(router.body_bytes_max),
            request_buffering: app.request_buffering.unwrap_or(router.request_buffering),
            gzip: app.gzip.unwrap_or(router.gzip.enabled),
            zstd: app.zstd.unwrap_or(router.zstd),
            limits: RequestLimits::of(&router.limits, &app.limits),
            protocol: app.protocol.unwrap_or_default(),
            proxy_header: app.proxy_header,
            sticky: app.sticky.unwrap_or(router.sticky),
            referrer_policy: app.referrer_policy.clone().unwrap_or_else(|| router.referrer_policy.clone()),
            request_start: router.request_start && !app.request_start_disabled,
            access_log: app.access_log.unwrap_or(edge.access_log || router.access_log),
        }
    }
}

fn whitelist(router: &RouterRules, own: &[String]) -> Option<Vec<Network>> {
    let parsed = own.iter().filter_map(|entry| Network::parse(entry));
    let has_own = !own.is_empty();
    let default = &router.default_whitelist;
    if has_own && router.whitelist_overrides {
        return Some(parsed.collect());
    }
    if !has_own && default.is_empty() {
        return router.whitelists_enforced.then(Vec::new);
    }
    Some(default.iter().copied().chain(parsed).collect())
}

fn hsts_value(hsts: &Hsts) -> String {
    let subdomains = if hsts.include_subdomains { "; includeSubDomains" } else { "" };
    let preload = if hsts.preload { "; preload" } else { "" };
    format!("max-age={}{subdomains}{preload}", hsts.seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::{AppRules, EdgeSettings};
    use crate::routing::RouteOwner;

    fn route(rules: AppRules, whitelist: &[&str]) -> Route {
        let whitelist = whitelist.iter().map(|entry| (*entry).to_owned()).collect();
        let edge = EdgeSettings { whitelist, ..EdgeSettings::default() };
        let owner = RouteOwner::Platform("x".to_owned());
        Route { rules, edge, ..Route::plain(owner, "x.test".to_owned(), Vec::new()) }
    }

    fn shown(rules: &SiteRules) -> Option<Vec<String>> {
        rules.whitelist.as_ref().map(|list| list.iter().map(Network::to_string).collect())
    }

    #[test]
    fn an_apps_own_word_goes_before_the_routers() {
        let router = RouterRules {
            referrer_policy: Some("origin".to_owned()),
            request_start: true,
            ..RouterRules::default()
        };
        let app = AppRules {
            timeout: Some(Duration::from_secs(5)),
            body_bytes_max: Some(None),
            gzip: Some(false),
            referrer_policy: Some(None),
            request_start_disabled: true,
            ..AppRules::default()
        };

        let own = SiteRules::of(&router, &route(app, &[]));
        let plain = SiteRules::of(&router, &route(AppRules::default(), &[]));

        assert_eq!((own.timeout, own.body_bytes_max, own.gzip), (Duration::from_secs(5), None, false));
        assert_eq!((own.referrer_policy, own.request_start), (None, false));
        assert_eq!((plain.timeout, plain.body_bytes_max, plain.gzip), (router.timeout, Some(1 << 30), true));
        assert_eq!((plain.referrer_policy.as_deref(), plain.request_start), (Some("origin"), true));
    }

    #[test]
    fn hsts_enforces_https() {
        let app = AppRules {
            hsts: Some(true),
            hsts_seconds: Some(60),
            hsts_include_subdomains: Some(true),
            hsts_preload: Some(true),
            ..AppRules::default()
        };

        let rules = SiteRules::of(&RouterRules::default(), &route(app, &[]));

        assert_eq!(rules.hsts.as_deref(), Some("max-age=60; includeSubDomains; preload"));
        assert!(rules.https_enforced);
    }

    #[test]
    fn a_whitelist_adds_to_the_default_one_or_takes_its_place() {
        let office = Network::parse("192.0.2.1").expect("an address");
        let extend = RouterRules { default_whitelist: vec![office], ..RouterRules::default() };
        let replace = RouterRules { whitelist_overrides: true, ..extend.clone() };
        let enforce = RouterRules { whitelists_enforced: true, ..RouterRules::default() };
        let list = |router: &RouterRules, own: &[&str]| {
            shown(&SiteRules::of(router, &route(AppRules::default(), own)))
        };
        let texts = |texts: &[&str]| Some(texts.iter().map(|text| (*text).to_owned()).collect());

        assert_eq!(list(&extend, &["10.0.0.0/8"]), texts(&["192.0.2.1/32", "10.0.0.0/8"]));
        assert_eq!(list(&replace, &["10.0.0.0/8"]), texts(&["10.0.0.0/8"]));
        assert_eq!(list(&replace, &[]), texts(&["192.0.2.1/32"]));
        assert_eq!(list(&enforce, &[]), texts(&[]));
        assert_eq!(list(&RouterRules::default(), &[]), None);
    }
}
