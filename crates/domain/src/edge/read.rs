//! Reads the settings of routers and apps from annotations.

use super::{AppRules, RouterRules, TlsVersion};
use crate::AppName;
use crate::annotations::{Annotations, Reader};

/// Settings of a router: `router.deis.io/nginx.<key>` on its Deployment.
pub const ROUTER_KEYS: [&str; 28] = [
    "defaultTimeout",
    "bodySize",
    "gzip.enabled",
    "gzip.compLevel",
    "gzip.minLength",
    "gzip.types",
    "gzip.vary",
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
    "accessLog",
    "ssl.enforce",
    "ssl.protocols",
    "ssl.hsts.enabled",
    "ssl.hsts.maxAge",
    "ssl.hsts.includeSubDomains",
    "ssl.hsts.preload",
    // Said elsewhere; named so that nobody is told they were wrong.
    "platformDomain",
    "workerProcesses",
    "defaultServiceEnabled",
];

/// Settings of an app beside those that the API has: `router.deis.io/<key>` on its Service.
pub const APP_KEYS: [&str; 12] = [
    "connectTimeout",
    "tcpTimeout",
    "bodySize",
    "gzip.enabled",
    "stickySessions",
    "ssl.hsts.enabled",
    "ssl.hsts.maxAge",
    "ssl.hsts.includeSubDomains",
    "ssl.hsts.preload",
    "referrerPolicy",
    "disableRequestStartHeader",
    "accessLog",
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

/// What a router is to do, and what was wrong with the texts.
pub fn router_rules(texts: &Annotations, prefix: &str) -> (RouterRules, Vec<String>) {
    let mut reader = Reader::new(texts, prefix);
    let mut rules = RouterRules::default();
    let reading = &mut reader;
    set(&mut rules.timeout, reading.duration("defaultTimeout"));
    set(&mut rules.body_bytes_max, reading.size("bodySize").map(bound));
    set(&mut rules.gzip.enabled, reading.switch("gzip.enabled"));
    set(&mut rules.gzip.level, reading.read("gzip.compLevel", "1 to 9", level));
    set(&mut rules.gzip.bytes_min, reading.size("gzip.minLength"));
    set(&mut rules.gzip.types, reading.read("gzip.types", "media types", media_types));
    set(&mut rules.gzip.vary, reading.switch("gzip.vary"));
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
    set(&mut rules.access_log, reading.switch("accessLog"));
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
    reader.complain_of_others(&ROUTER_KEYS);
    (rules, reader.into_wrong())
}

/// What an app has otherwise. What the API sets beside these is not looked at.
pub fn app_rules(reader: &mut Reader<'_>) -> AppRules {
    AppRules {
        connect_timeout: reader.duration("connectTimeout"),
        timeout: reader.duration("tcpTimeout"),
        body_bytes_max: reader.size("bodySize").map(bound),
        gzip: reader.switch("gzip.enabled"),
        sticky: reader.switch("stickySessions"),
        hsts: reader.switch("ssl.hsts.enabled"),
        hsts_seconds: reader.number("ssl.hsts.maxAge"),
        hsts_include_subdomains: reader.switch("ssl.hsts.includeSubDomains"),
        hsts_preload: reader.switch("ssl.hsts.preload"),
        referrer_policy: referrer_policy(reader),
        request_start_disabled: reader.switch("disableRequestStartHeader").unwrap_or(false),
        access_log: reader.switch("accessLog"),
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
fn referrer_policy(reader: &mut Reader<'_>) -> Option<Option<String>> {
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
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn router(pairs: &[(&str, &str)]) -> (RouterRules, Vec<String>) {
        let named = |(key, value): &(&str, &str)| (format!("n.{key}"), (*value).to_owned());
        router_rules(&pairs.iter().map(named).collect(), "n.")
    }

    fn app(pairs: &[(&str, &str)]) -> (AppRules, Vec<String>) {
        let texts: Annotations =
            pairs.iter().map(|(key, value)| (format!("a/{key}"), (*value).to_owned())).collect();
        let mut reader = Reader::new(&texts, "a/");
        (app_rules(&mut reader), reader.into_wrong())
    }

    /// Reads one setting and gives what it changed.
    macro_rules! sets {
        ($read:ident, $key:literal = $text:literal, $($field:ident).+ == $value:expr) => {
            let (rules, wrong) = $read(&[($key, $text)]);
            assert_eq!(wrong, Vec::<String>::new(), $key);
            assert_eq!(rules.$($field).+, $value, $key);
        };
    }

    #[test]
    fn each_setting_of_a_router_is_read() {
        let network = |text| crate::networks::Network::parse(text).expect("a network");
        sets!(router, "defaultTimeout" = "20m", timeout == Duration::from_secs(1_200));
        sets!(router, "bodySize" = "50m", body_bytes_max == Some(50 << 20));
        sets!(router, "bodySize" = "0", body_bytes_max == None);
        sets!(router, "gzip.enabled" = "False", gzip.enabled == false);
        sets!(router, "gzip.compLevel" = "9", gzip.level == 9);
        sets!(router, "gzip.minLength" = "1k", gzip.bytes_min == 1_024);
        sets!(
            router,
            "gzip.types" = "text/plain application/wasm",
            gzip.types == ["text/plain", "application/wasm"]
        );
        sets!(router, "gzip.vary" = "off", gzip.vary == false);
        sets!(
            router,
            "proxyRealIpCidrs" = "10.0.0.0/8, ::1",
            trusted_proxies == [network("10.0.0.0/8"), network("::1")]
        );
        sets!(router, "useProxyProtocol" = "TRUE", proxy_protocol == true);
        sets!(router, "defaultWhitelist" = "192.0.2.0/24", default_whitelist == [network("192.0.2.0/24")]);
        sets!(router, "whitelistMode" = "override", whitelist_overrides == true);
        sets!(router, "enforceWhitelists" = "true", whitelists_enforced == true);
        sets!(router, "defaultAppName" = "home", default_app == Some("home".to_owned()));
        sets!(router, "stickySessions" = "true", sticky == true);
        sets!(router, "requestIDs" = "true", request_ids == true);
        sets!(router, "requestStartHeader" = "true", request_start == true);
        sets!(router, "http2Enabled" = "false", http2 == false);
        sets!(router, "referrerPolicy" = "same-origin", referrer_policy == Some("same-origin".to_owned()));
        sets!(router, "accessLog" = "On", access_log == true);
        sets!(router, "ssl.enforce" = "true", https_enforced == true);
        sets!(router, "ssl.protocols" = "TLSv1.3", tls_minimum == TlsVersion::V1_3);
        sets!(router, "ssl.protocols" = "TLSv1 TLSv1.1 TLSv1.2", tls_minimum == TlsVersion::V1_2);
        sets!(router, "ssl.hsts.enabled" = "true", hsts.enabled == true);
        sets!(router, "ssl.hsts.maxAge" = "60", hsts.seconds == 60);
        sets!(router, "ssl.hsts.includeSubDomains" = "true", hsts.include_subdomains == true);
        sets!(router, "ssl.hsts.preload" = "true", hsts.preload == true);
    }

    #[test]
    fn each_setting_of_an_app_is_read() {
        sets!(app, "connectTimeout" = "500ms", connect_timeout == Some(Duration::from_millis(500)));
        sets!(app, "tcpTimeout" = "1200s", timeout == Some(Duration::from_secs(1_200)));
        sets!(app, "bodySize" = "1m", body_bytes_max == Some(Some(1 << 20)));
        sets!(app, "gzip.enabled" = "false", gzip == Some(false));
        sets!(app, "stickySessions" = "true", sticky == Some(true));
        sets!(app, "ssl.hsts.enabled" = "true", hsts == Some(true));
        sets!(app, "ssl.hsts.maxAge" = "5", hsts_seconds == Some(5));
        sets!(app, "ssl.hsts.includeSubDomains" = "true", hsts_include_subdomains == Some(true));
        sets!(app, "ssl.hsts.preload" = "true", hsts_preload == Some(true));
        sets!(app, "referrerPolicy" = "none", referrer_policy == Some(None));
        sets!(app, "accessLog" = "TRUE", access_log == Some(true));
        sets!(app, "disableRequestStartHeader" = "true", request_start_disabled == true);
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd_to_be_read(text in any::<String>()) {
            let texts = |keys: &[&str]| keys.iter().map(|key| ((*key).to_owned(), text.clone())).collect();

            let (_, wrong) = router_rules(&texts(&ROUTER_KEYS), "");
            let app: Annotations = texts(&APP_KEYS);
            app_rules(&mut Reader::new(&app, ""));

            prop_assert!(wrong.iter().all(|line| !line.contains("is no setting")));
        }
    }

    #[test]
    fn a_wrong_value_keeps_its_default_and_a_wrong_name_is_told() {
        let (rules, wrong) = router(&[
            ("bodySize", "big"),
            ("gzip.compLevel", "10"),
            ("ssl.protocols", "SSLv3"),
            ("whitelistMode", "both"),
            ("referrerPolicy", "secret"),
            ("errorLogLevel", "debug"),
            ("requestIDs", "true"),
        ]);

        assert_eq!(rules, RouterRules { request_ids: true, ..RouterRules::default() });
        assert_eq!(wrong.len(), 6, "{wrong:?}");
    }

    #[test]
    fn a_default_whitelist_of_nothing_but_nonsense_lets_nobody_in() {
        let (rules, wrong) = router(&[("defaultWhitelist", "office")]);

        assert!(rules.default_whitelist.is_empty() && rules.whitelists_enforced);
        assert_eq!(wrong.len(), 1);
    }
}
