//! Reads the settings of routers and apps from annotations.

use std::collections::BTreeSet;

use super::limits::limit_rules;
use super::{AppRules, Protocol, ProxyHeader, RouterRules, TlsVersion};
use crate::AppName;
use crate::annotations::{AnnotationReader, Annotations};

/// Settings of Deis' routers that have moved elsewhere; known here so that they are not reported as wrong.
const MOVED_KEYS: [&str; 3] = ["platformDomain", "workerProcesses", "defaultServiceEnabled"];

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

/// Reads the settings of a router (`router.deis.io/nginx.<key>` on its Deployment), and lists the faults in their
/// texts.
pub fn router_rules(texts: &Annotations, prefix: &str) -> (RouterRules, Vec<String>) {
    let mut reader = AnnotationReader::new(texts, prefix);
    let rules = read_router_rules(&mut reader);
    (rules, reader.into_wrong())
}

/// Keys of the settings of a router.
pub fn router_keys() -> BTreeSet<&'static str> {
    let texts = Annotations::new();
    let mut reader = AnnotationReader::new(&texts, "");
    read_router_rules(&mut reader);
    reader.keys()
}

/// Keys of the settings of an app that [`app_rules`] reads.
pub fn app_keys() -> BTreeSet<&'static str> {
    let texts = Annotations::new();
    let mut reader = AnnotationReader::new(&texts, "");
    app_rules(&mut reader);
    reader.keys()
}

fn read_router_rules(reader: &mut AnnotationReader<'_>) -> RouterRules {
    let mut rules = RouterRules::default();
    set(&mut rules.timeout, reader.duration("defaultTimeout"));
    set(&mut rules.body_bytes_max, reader.size("bodySize").map(bound));
    set(&mut rules.request_buffering, reader.switch("requestBuffering"));
    set(&mut rules.gzip.enabled, reader.switch("gzip.enabled"));
    set(&mut rules.gzip.level, reader.read("gzip.compLevel", "1 to 9", level));
    set(&mut rules.gzip.bytes_min, reader.size("gzip.minLength"));
    set(&mut rules.gzip.types, reader.read("gzip.types", "media types", media_types));
    set(&mut rules.gzip.vary, reader.switch("gzip.vary"));
    set(&mut rules.zstd, reader.switch("zstd.enabled"));
    rules.limits = limit_rules(reader);
    set(&mut rules.trusted_proxies, reader.networks("proxyRealIpCidrs"));
    set(&mut rules.proxy_protocol, reader.switch("useProxyProtocol"));
    set(&mut rules.default_whitelist, reader.networks("defaultWhitelist"));
    set(&mut rules.whitelist_overrides, reader.read("whitelistMode", "extend or override", overrides));
    set(&mut rules.whitelists_enforced, reader.switch("enforceWhitelists"));
    rules.default_app = reader.read("defaultAppName", "the name of an app", app_name);
    set(&mut rules.sticky, reader.switch("stickySessions"));
    set(&mut rules.request_ids, reader.switch("requestIDs"));
    set(&mut rules.request_start, reader.switch("requestStartHeader"));
    set(&mut rules.http2, reader.switch("http2Enabled"));
    rules.referrer_policy = referrer_policy(reader).flatten();
    set(&mut rules.access_log, reader.switch(super::settings::ACCESS_LOG));
    set(&mut rules.https_enforced, reader.switch("ssl.enforce"));
    set(&mut rules.tls_minimum, reader.read("ssl.protocols", "TLSv1.2 TLSv1.3 or TLSv1.3", minimum));
    set(&mut rules.hsts.enabled, reader.switch("ssl.hsts.enabled"));
    set(&mut rules.hsts.seconds, reader.number("ssl.hsts.maxAge"));
    set(&mut rules.hsts.include_subdomains, reader.switch("ssl.hsts.includeSubDomains"));
    set(&mut rules.hsts.preload, reader.switch("ssl.hsts.preload"));
    // A list that names nobody must not mean everybody.
    if rules.default_whitelist.is_empty() && reader.text("defaultWhitelist").is_some() {
        rules.whitelists_enforced = true;
    }
    reader.complain_of_others(&MOVED_KEYS);
    rules
}

/// Reads the settings of an app that the API does not set: `router.deis.io/<key>` on its Service.
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
        access_log: reader.switch(super::settings::ACCESS_LOG),
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
