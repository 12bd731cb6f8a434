//! Headers of the request that an app gets: what it may believe, and what the router adds.

use std::time::SystemTime;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::http1::headers::{OURS, written};
use crate::phases::caller::RequestOrigin;

/// Headers that apps and frameworks trust as a proxy's: client address, host, path and scheme. Only a trusted
/// proxy may set them. Names that begin with `x-forwarded-` count too.
const OF_PROXIES: [&str; 24] = [
    "cf-connecting-ip",
    "cf-connecting-ipv6",
    "client-ip",
    "fastly-client-ip",
    "forwarded",
    "front-end-https",
    "true-client-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-forwarded",
    "x-forwarder-for",
    "x-host",
    "x-http-host-override",
    "x-original-forwarded-for",
    "x-original-host",
    "x-original-url",
    "x-originating-ip",
    "x-proxyuser-ip",
    "x-real-ip",
    "x-remote-addr",
    "x-remote-ip",
    "x-rewrite-url",
    "x-scheme",
    "x-url-scheme",
];

/// Becomes `HTTP_PROXY` in CGI, which HTTP clients in an app use as their proxy (httpoxy, CVE-2016-5385).
const HTTPOXY: &str = "proxy";
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// Removes headers that clients must not set, and names that apps read as the router's own: CGI, WSGI and Rack map
/// `_` and `-` to the same. Those of a trusted proxy stay; the client's address is set from our own reading.
pub(super) fn strip_false_words(headers: &mut HeaderMap, caller: &RequestOrigin) {
    let is_false = |name: &&HeaderName| is_false_word(name.as_str(), caller.is_proxied);
    let false_words: Vec<_> = headers.keys().filter(is_false).cloned().collect();
    for name in &false_words {
        headers.remove(name);
    }
    if caller.is_proxied && headers.contains_key(REAL_IP) {
        headers.insert(REAL_IP, written(format_args!("{}", caller.address)));
    }
}

fn is_false_word(name: &str, is_proxied: bool) -> bool {
    let has_underscore = name.contains('_');
    // The first letter sorts out most names.
    if !has_underscore && !matches!(name.as_bytes().first(), Some(b'c' | b'f' | b'p' | b't' | b'x')) {
        return false;
    }
    if has_underscore {
        let dashed = name.replace('_', "-");
        return OURS.contains(&dashed.as_str()) || is_of_proxies(&dashed);
    }
    name == HTTPOXY || (!is_proxied && is_of_proxies(name))
}

fn is_of_proxies(name: &str) -> bool {
    let is_ours = || OURS.contains(&name);
    OF_PROXIES.contains(&name) || (name.starts_with("x-forwarded-") && !is_ours())
}

/// Sends the client's address and scheme to the app (docs/spec/components.md 5.6). Values from outside are
/// replaced.
pub(super) fn add_forwarded(headers: &mut HeaderMap, caller: &RequestOrigin) {
    headers.insert(FORWARDED_FOR, written(format_args!("{}", caller.address)));
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static(if caller.is_https { "https" } else { "http" }));
    headers.insert(FORWARDED_PORT, HeaderValue::from(caller.port));
}

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");

/// When the first router saw the request, in seconds since 1970; used by apps to measure their queues.
pub(super) const REQUEST_START: HeaderName = HeaderName::from_static("x-request-start");

pub(super) fn add_request_start(headers: &mut HeaderMap, now: SystemTime) {
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let value = written(format_args!("t={}.{:03}", since.as_secs(), since.subsec_millis()));
    headers.insert(REQUEST_START, value);
}

/// HTTP/2 splits cookies into as many fields as it likes; HTTP/1.1 knows one (RFC 9113 section 8.2.3).
pub(super) fn join_cookies(headers: &mut HeaderMap) {
    let cookies: Vec<_> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if cookies.len() > 1
        && let Ok(one) = HeaderValue::from_bytes(&cookies.join(&b"; "[..]))
    {
        headers.insert(header::COOKIE, one);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_of_http2_become_one_header() {
        let mut headers = HeaderMap::new();
        headers.append("cookie", HeaderValue::from_static("a=1"));
        headers.append("cookie", HeaderValue::from_static("b=2"));

        join_cookies(&mut headers);

        let cookies: Vec<_> = headers.get_all("cookie").iter().collect();
        assert_eq!(cookies, ["a=1; b=2"]);
    }

    #[test]
    fn words_that_are_not_a_visitors_are_told_also_with_underscores() {
        for (name, of_stranger, of_proxy) in [
            ("x_forwarded_for", true, true),
            ("x-forwarded_proto", true, true),
            ("content_length", true, true),
            ("x_real_ip", true, true),
            ("x-forwarded-for", false, false),
            ("x-forwarded-host", true, false),
            ("x-forwarded-anything", true, false),
            ("x_forwarded_anything", true, true),
            ("forwarded", true, false),
            ("x-real-ip", true, false),
            ("true-client-ip", true, false),
            ("proxy", true, true),
            ("proxy-status", false, false),
            ("api_key", false, false),
            ("cookie", false, false),
            ("x-requested-with", false, false),
        ] {
            let told = (is_false_word(name, false), is_false_word(name, true));
            assert_eq!(told, (of_stranger, of_proxy), "{name}");
        }
    }
}
