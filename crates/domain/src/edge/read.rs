//! Reads the settings of routers and apps from annotations.

use super::limits::limit_rules;
use super::settings::ACCESS_LOG;
use super::{AppRules, Protocol, ProxyHeader, RouterRules, TlsVersion};
use crate::AppName;
use crate::annotations::{AnnotationReader, Annotations};

/// Settings of a router: `router.deis.io/nginx.<key>` on its Deployment.
pub const ROUTER_KEYS: [&str; 33] = [
    "defaultTimeout",
    "bodySize",
    "requestBuffering",
    "gzip.enabled",
    "gzip.compLevel",
    "gzip.minLength",
    "gzip.types",
    "gzip.vary",
    "zstd.enabled",
    "limitReq.client",
    "limitReq.clientBurst",
    "limitReq.app",
    "limitReq.appBurst",
    "limitConn.client",
    "limitConn.app",
    "proxyRealIpCidrs",
    "useProxyProtocol",
    "defaultWhitelist",
    "whitelistMode",
    "enforceWhitelists",
    "defaultAppName",
    "stickySessions",
    "requestIDs",
    "requestStartHeader",
    "http2Enabled",
    "referrerPolicy",
    ACCESS_LOG,
    "ssl.enforce",
    "ssl.protocols",
    "ssl.hsts.enabled",
    "ssl.hsts.maxAge",
    "ssl.hsts.includeSubDomains",
    "ssl.hsts.preload",
];

/// Settings of Deis' routers that have moved elsewhere; known here so that they are not reported as wrong.
const MOVED_KEYS: [&str; 3] = ["platformDomain", "workerProcesses", "defaultServiceEnabled"];

/// Settings of an app beside those that the API has: `router.deis.io/<key>` on its Service.
pub const APP_KEYS: [&str; 22] = [
    "connectTimeout",
    "tcpTimeout",
    "bodySize",
    "requestBuffering",
    "gzip.enabled",
    "zstd.enabled",
    "limitReq.client",
    "limitReq.clientBurst",
    "limitReq.app",
    "limitReq.appBurst",
    "limitConn.client",
    "limitConn.app",
    "appProtocol",
    "sendProxyProtocol",
    "stickySessions",
    "ssl.hsts.enabled",
    "ssl.hsts.maxAge",
    "ssl.hsts.includeSubDomains",
    "ssl.hsts.preload",
    "referrerPolicy",
    "disableRequestStartHeader",
    ACCESS_LOG,
];

const REFERRER_POLICIES: [&str; 8] = [
    "no-referrer",
    "no-referrer-when-downgrade",
    "origin",
    "origin-when-cross-origin",
    "same-origin",
    "strict-origin",
    "strict-origin-when-cross-origin",
    "unsafe-url",
];

/// Reads the settings of a router, and lists the faults in their texts.
pub fn router_rules(texts: &Annotations, prefix: &str) -> (RouterRules, Vec<String>) {
    let mut reader = AnnotationReader::new(texts, prefix);
    let mut rules = RouterRules::default();
    let reading = &mut reader;
    set(&mut rules.timeout, reading.duration("defaultTimeout"));
    set(&mut rules.body_bytes_max, reading.size("bodySize").map(bound));
    set(&mut rules.request_buffering, reading.switch("requestBuffering"));
    set(&mut rules.gzip.enabled, reading.switch("gzip.enabled"));
    set(&mut rules.gzip.level, reading.read("gzip.compLevel", "1 to 9", level));
    set(&mut rules.gzip.bytes_min, reading.size("gzip.minLength"));
    set(&mut rules.gzip.types, reading.read("gzip.types", "media types", media_types));
    set(&mut rules.gzip.vary, reading.switch("gzip.vary"));
    set(&mut rules.zstd, reading.switch("zstd.enabled"));
    rules.limits = limit_rules(reading);
    set(&mut rules.trusted_proxies, reading.networks("proxyRealIpCidrs"));
    set(&mut rules.proxy_protocol, reading.switch("useProxyProtocol"));
    set(&mut rules.default_whitelist, reading.networks("defaultWhitelist"));
    set(&mut rules.whitelist_overrides, reading.read("whitelistMode", "extend or override", overrides));
    set(&mut rules.whitelists_enforced, reading.switch("enforceWhitelists"));
    rules.default_app = reading.read("defaultAppName", "the name of an app", app_name);
    set(&mut rules.sticky, reading.switch("stickySessions"));
    set(&mut rules.request_ids, reading.switch("requestIDs"));
    set(&mut rules.request_start, reading.switch("requestStartHeader"));
    set(&mut rules.http2, reading.switch("http2Enabled"));
    rules.referrer_policy = referrer_policy(reading).flatten();
    set(&mut rules.access_log, reading.switch(ACCESS_LOG));
    set(&mut rules.https_enforced, reading.switch("ssl.enforce"));
    set(&mut rules.tls_minimum, reading.read("ssl.protocols", "TLSv1.2 TLSv1.3 or TLSv1.3", minimum));
    set(&mut rules.hsts.enabled, reading.switch("ssl.hsts.enabled"));
    set(&mut rules.hsts.seconds, reading.number("ssl.hsts.maxAge"));
    set(&mut rules.hsts.include_subdomains, reading.switch("ssl.hsts.includeSubDomains"));
    set(&mut rules.hsts.preload, reading.switch("ssl.hsts.preload"));
    // A list that names nobody must not mean everybody.
    if rules.default_whitelist.is_empty() && reading.text("defaultWhitelist").is_some() {
        rules.whitelists_enforced = true;
    }
    reader.complain_of_others(&[&ROUTER_KEYS[..], &MOVED_KEYS].concat());
    (rules, reader.into_wrong())
}

/// Reads the settings of an app that the API does not set.
pub fn app_rules(reader: &mut AnnotationReader<'_>) -> AppRules {
    AppRules {
        connect_timeout: reader.duration("connectTimeout"),
        timeout: reader.duration("tcpTimeout"),
        body_bytes_max: reader.size("bodySize").map(bound),
        request_buffering: reader.switch("requestBuffering"),
        gzip: reader.switch("gzip.enabled"),
        zstd: reader.switch("zstd.enabled"),
        limits: limit_rules(reader),
        protocol: Protocol::read(reader),
        proxy_header: ProxyHeader::read(reader).flatten(),
        sticky: reader.switch("stickySessions"),
        hsts: reader.switch("ssl.hsts.enabled"),
        hsts_seconds: reader.number("ssl.hsts.maxAge"),
        hsts_include_subdomains: reader.switch("ssl.hsts.includeSubDomains"),
        hsts_preload: reader.switch("ssl.hsts.preload"),
        referrer_policy: referrer_policy(reader),
        request_start_disabled: reader.switch("disableRequestStartHeader").unwrap_or(false),
        access_log: reader.switch(ACCESS_LOG),
    }
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

/// Zero means none.
fn bound(bytes: u64) -> Option<u64> {
    (bytes > 0).then_some(bytes)
}

fn level(text: &str) -> Option<u32> {
    text.parse().ok().filter(|level| (1..=9).contains(level))
}

/// With blanks between them, as nginx has it, or commas.
fn media_types(text: &str) -> Option<Vec<String>> {
    let words = text.split([' ', ',']).filter(|word| !word.is_empty());
    let words: Vec<_> = words.map(str::to_ascii_lowercase).collect();
    words.iter().all(|word| word == "*" || word.contains('/')).then_some(words)
}

fn overrides(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "extend" => Some(false),
        "override" => Some(true),
        _ => None,
    }
}

fn app_name(text: &str) -> Option<String> {
    AppName::parse(text).ok().map(|app| app.to_string())
}

/// `none` takes the router's header away from an app.
fn referrer_policy(reader: &mut AnnotationReader<'_>) -> Option<Option<String>> {
    reader.read("referrerPolicy", "a policy such as same-origin, or none", |text| match text {
        "none" => Some(None),
        text => REFERRER_POLICIES.contains(&text).then(|| Some(text.to_owned())),
    })
}

/// The oldest version that may be spoken. Those before 1.2 are passed over: nobody should.
fn minimum(text: &str) -> Option<TlsVersion> {
    let names: Vec<_> = text.split_whitespace().collect();
    match (names.contains(&"TLSv1.2"), names.contains(&"TLSv1.3")) {
        (true, _) => Some(TlsVersion::V1_2),
        (false, true) => Some(TlsVersion::V1_3),
        (false, false) => None,
    }
}

#[cfg(test)]
mod tests;
