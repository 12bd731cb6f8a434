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
    let mut reader = AnnotationReader::new(&texts, "a/");
    (app_rules(&mut reader), reader.into_wrong())
}

/// Reads one setting and returns what it changed.
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
    sets!(router, "requestBuffering" = "off", request_buffering == false);
    sets!(router, "gzip.enabled" = "False", gzip.enabled == false);
    sets!(router, "gzip.compLevel" = "9", gzip.level == 9);
    sets!(router, "gzip.minLength" = "1k", gzip.bytes_min == 1_024);
    sets!(
        router,
        "gzip.types" = "text/plain application/wasm",
        gzip.types == ["text/plain", "application/wasm"]
    );
    sets!(router, "gzip.vary" = "off", gzip.vary == false);
    sets!(router, "zstd.enabled" = "FALSE", zstd == false);
    sets!(router, "limitReq.client" = "10r/s", limits.client.every_ns == Some(Some(100_000_000)));
    sets!(router, "limitReq.clientBurst" = "5", limits.client.burst == Some(5));
    sets!(router, "limitReq.app" = "30r/m", limits.app.every_ns == Some(Some(2_000_000_000)));
    sets!(router, "limitReq.appBurst" = "0", limits.app.burst == Some(0));
    sets!(router, "limitConn.client" = "9", limits.client.at_once_max == Some(Some(9)));
    sets!(router, "limitConn.app" = "none", limits.app.at_once_max == Some(None));
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
    sets!(app, "requestBuffering" = "False", request_buffering == Some(false));
    sets!(app, "gzip.enabled" = "false", gzip == Some(false));
    sets!(app, "zstd.enabled" = "off", zstd == Some(false));
    sets!(app, "limitReq.client" = "none", limits.client.every_ns == Some(None));
    sets!(app, "limitReq.clientBurst" = "5", limits.client.burst == Some(5));
    sets!(app, "limitReq.app" = "2", limits.app.every_ns == Some(Some(500_000_000)));
    sets!(app, "limitReq.appBurst" = "1", limits.app.burst == Some(1));
    sets!(app, "limitConn.client" = "9", limits.client.at_once_max == Some(Some(9)));
    sets!(app, "limitConn.app" = "0", limits.app.at_once_max == Some(None));
    sets!(app, "appProtocol" = "gRPC", protocol == Some(Protocol::H2c));
    sets!(app, "appProtocol" = "http", protocol == Some(Protocol::Http1));
    sets!(app, "sendProxyProtocol" = "V2", proxy_header == Some(ProxyHeader::V2));
    sets!(app, "sendProxyProtocol" = "off", proxy_header == None);
    sets!(app, "stickySessions" = "true", sticky == Some(true));
    sets!(app, "ssl.hsts.enabled" = "true", hsts == Some(true));
    sets!(app, "ssl.hsts.maxAge" = "5", hsts_seconds == Some(5));
    sets!(app, "ssl.hsts.includeSubDomains" = "true", hsts_include_subdomains == Some(true));
    sets!(app, "ssl.hsts.preload" = "true", hsts_preload == Some(true));
    sets!(app, "referrerPolicy" = "none", referrer_policy == Some(None));
    sets!(app, "disableRequestStartHeader" = "true", request_start_disabled == true);
}

proptest! {
    #[test]
    fn no_text_is_too_odd_to_be_read(text in any::<String>()) {
        let texts = |keys: BTreeSet<&str>| keys.into_iter().map(|key| (key.to_owned(), text.clone())).collect();

        let (_, wrong) = router_rules(&texts(router_keys()), "");
        let app: Annotations = texts(app_keys());
        app_rules(&mut AnnotationReader::new(&app, ""));

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
