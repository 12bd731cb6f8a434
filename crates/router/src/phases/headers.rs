//! Headers between visitor and app: what is added, and what belongs to one connection only.

use std::io::Write as _;
use std::time::SystemTime;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::caller::Caller;

/// Headers that speak of one connection (RFC 9110 section 7.6.1); framing is hyper's business.
const HOP_BY_HOP: [HeaderName; 6] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::UPGRADE,
];

/// What is the router's to say, so that a visitor can neither make us drop it by naming it in Connection nor say it
/// in a spelling that apps take for the same: how long the body is, whose request it is, who asks.
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

/// Whether the sender asks to change the protocol, to which one.
///
/// Never to `h2c` (obsolete by RFC 9113 section 3.1): requests in such a tunnel would pass by all rules.
pub(super) fn upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let protocol = headers.get(header::UPGRADE)?;
    let wants_upgrade = connection_options(headers).any(|option| option.eq_ignore_ascii_case("upgrade"));
    // Wherever it stands: nobody knows how an app reads a list that is damaged.
    let is_h2c = protocol.to_str().ok()?.to_ascii_lowercase().contains("h2c");
    (wants_upgrade && !is_h2c).then(|| protocol.clone())
}

/// Whether an answer switches to protocols that were asked for, and to no others (RFC 9110 section 7.8).
pub(super) fn agrees(asked: &HeaderValue, answer: &HeaderMap) -> bool {
    let words = |value: &HeaderValue| -> Vec<String> {
        let text = value.to_str().unwrap_or_default().to_ascii_lowercase();
        text.split(',').map(|word| word.trim().to_owned()).collect()
    };
    let (asked, chosen) = (words(asked), answer.get(header::UPGRADE).map(words).unwrap_or_default());
    !chosen.is_empty() && chosen.iter().all(|protocol| asked.contains(protocol))
}

/// Whether a message is in chunks or in no transfer coding: any other could hide where its body ends (RFC 9112
/// section 6.1), and none was asked for.
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

/// Removes names that apps take for the router's own: CGI, WSGI and Rack make `_` of each `-`.
pub(super) fn strip_lookalikes(headers: &mut HeaderMap) {
    let lookalikes: Vec<_> = headers.keys().filter(|name| is_lookalike(name.as_str())).cloned().collect();
    for name in &lookalikes {
        headers.remove(name);
    }
}

fn is_lookalike(name: &str) -> bool {
    let same = |ours: &&str| {
        let dashed = |byte| if byte == b'_' { b'-' } else { byte };
        ours.len() == name.len() && name.bytes().map(dashed).eq(ours.bytes())
    };
    name.contains('_') && OURS.iter().any(same)
}

/// Tells the app who asks and how (components.md 5.6). Values from outside are replaced.
pub(super) fn add_forwarded(headers: &mut HeaderMap, caller: &Caller) {
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
    fn names_that_differ_from_the_routers_by_an_underscore_are_told() {
        for (name, expected) in [
            ("x_forwarded_for", true),
            ("x-forwarded_proto", true),
            ("content_length", true),
            ("x-forwarded-for", false),
            ("x_forwarded_forr", false),
            ("api_key", false),
        ] {
            assert_eq!(is_lookalike(name), expected, "{name}");
        }
    }
}
