//! Headers between client and app: those that are added, and those of one connection only.

use std::io::Write as _;
use std::time::SystemTime;

use http::StatusCode;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::caller::RequestOrigin;
use crate::http1::response::length;
use crate::http1::response_error::ResponseError;

/// Headers that speak of one connection (RFC 9110 section 7.6.1); framing is hyper's business.
const HOP_BY_HOP: [HeaderName; 6] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::UPGRADE,
];

/// Headers that the router itself sets. A client must not make it drop them by naming them in Connection, nor set
/// them in a spelling that apps read as the same: body length, host, client address.
const OURS: [&str; 10] = [
    "content-length",
    "transfer-encoding",
    "connection",
    "host",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-port",
    "x-request-id",
    "x-correlation-id",
    "x-request-start",
];

/// Protocol that the sender asks to upgrade to, if any.
///
/// Never to `h2c` (obsolete by RFC 9113 section 3.1): requests in such a tunnel would pass by all rules.
pub(super) fn upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let protocol = headers.get(header::UPGRADE)?;
    let wants_upgrade = connection_options(headers).any(|option| option.eq_ignore_ascii_case("upgrade"));
    // Anywhere in the value: apps may read a damaged list in any way.
    let is_h2c = protocol.to_str().ok()?.to_ascii_lowercase().contains("h2c");
    (wants_upgrade && !is_h2c).then(|| protocol.clone())
}

/// Returns true if a response switches to requested protocols, and to no others (RFC 9110 section 7.8).
pub(super) fn agrees(asked: &HeaderValue, answer: &HeaderMap) -> bool {
    let words = |value: &HeaderValue| -> Vec<String> {
        let text = value.to_str().unwrap_or_default().to_ascii_lowercase();
        text.split(',').map(|word| word.trim().to_owned()).collect()
    };
    let (asked, chosen) = (words(asked), answer.get(header::UPGRADE).map(words).unwrap_or_default());
    !chosen.is_empty() && chosen.iter().all(|protocol| asked.contains(protocol))
}

/// Limits the head of a response; hyper limits the bytes that it has not read yet.
pub(super) fn check_size(headers: &HeaderMap, bytes_max: usize) -> Result<(), ResponseError> {
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if bytes > bytes_max { Err(ResponseError::HeadTooLarge) } else { Ok(()) }
}

/// Checks the head of a response by the rules of both paths, where hyper accepts more: one length, and no coding
/// but chunks.
pub(super) fn check_answer(headers: &mut HeaderMap, status: StatusCode) -> Result<(), ResponseError> {
    if !has_known_coding(headers) {
        return Err(ResponseError::TransferCoding);
    }
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter().map(|value| length(value.as_bytes()));
    let Some(first) = lengths.next().transpose()? else { return Ok(()) };
    if lengths.any(|other| other != Ok(first)) {
        return Err(ResponseError::ContentLength);
    }
    if status == StatusCode::NO_CONTENT {
        // It has no body, and says no length (RFC 9110 section 8.6).
        headers.remove(header::CONTENT_LENGTH);
    } else {
        headers.insert(header::CONTENT_LENGTH, first.into());
    }
    Ok(())
}

/// Returns true if a message is chunked or has no transfer coding: any other could hide the end of its body (RFC
/// 9112 section 6.1), and none was asked for.
pub(super) fn has_known_coding(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(coding), None) => coding.as_bytes().eq_ignore_ascii_case(b"chunked"),
        _ => false,
    }
}

/// Removes what must not travel on.
pub(super) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = connection_options(headers)
        .filter_map(|option| option.parse().ok())
        .filter(|name: &HeaderName| !OURS.contains(&name.as_str()) || *name == header::CONNECTION)
        .collect();
    let present: Vec<HeaderName> = headers.keys().filter(|name| is_hop_by_hop(name)).cloned().collect();
    for name in present.iter().chain(&named) {
        headers.remove(name);
    }
}

fn is_hop_by_hop(name: &HeaderName) -> bool {
    HOP_BY_HOP.contains(name) || matches!(name.as_str(), "keep-alive" | "proxy-connection" | "http2-settings")
}

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

/// A short value made of digits, letters and signs; takes one allocation of just its size.
pub(super) fn written(text: std::fmt::Arguments<'_>) -> HeaderValue {
    let mut buffer = [0; 64];
    let mut free = &mut buffer[..];
    free.write_fmt(text).expect("addresses, moments and ids are shorter");
    let left = free.len();
    HeaderValue::from_bytes(&buffer[..buffer.len() - left]).expect("they are valid header values")
}

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

fn connection_options(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(header::CONNECTION).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|option| !option.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_one_connection_stay_there_but_framing_cannot_be_stripped() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Secret, content-length"),
            ("x-secret", "1"),
            ("content-length", "3"),
            ("keep-alive", "timeout=5"),
            ("accept", "*/*"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }

        strip_hop_by_hop(&mut headers);

        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["accept", "content-length"]);
    }

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
    fn an_upgrade_needs_both_headers() {
        let mut headers = HeaderMap::new();
        headers.insert("upgrade", HeaderValue::from_static("websocket"));
        assert_eq!(upgrade(&headers), None);

        headers.insert("connection", HeaderValue::from_static("keep-alive, Upgrade"));
        assert_eq!(upgrade(&headers), Some(HeaderValue::from_static("websocket")));
        for odd in [&b"websocket, H2C"[..], b":h2c", b"websocket\xff"] {
            headers.insert("upgrade", HeaderValue::from_bytes(odd).expect("bytes of a header"));
            assert_eq!(upgrade(&headers), None);
        }
    }

    #[test]
    fn protocols_are_switched_to_only_where_they_were_asked_for() {
        let asked = HeaderValue::from_static("WebSocket, x/2");
        for (answered, expected) in
            [("websocket", true), ("X/2", true), ("x", false), ("websocket, h2c", false), ("", false)]
        {
            let mut headers = HeaderMap::new();
            headers.insert(header::UPGRADE, HeaderValue::from_static(answered));
            assert_eq!(agrees(&asked, &headers), expected, "{answered}");
        }
        assert!(!agrees(&asked, &HeaderMap::new()));
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
