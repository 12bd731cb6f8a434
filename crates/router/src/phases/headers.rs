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

/// Whether the sender asks to change the protocol, to which one.
pub(super) fn upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let protocol = headers.get(header::UPGRADE)?;
    let wants_upgrade = connection_options(headers).any(|option| option.eq_ignore_ascii_case("upgrade"));
    wants_upgrade.then(|| protocol.clone())
}

/// Removes what must not travel on.
pub(super) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = connection_options(headers)
        .filter_map(|option| option.parse().ok())
        .filter(|name| !is_framing(name))
        .collect();
    let present: Vec<HeaderName> = headers.keys().filter(|name| is_hop_by_hop(name)).cloned().collect();
    for name in present.iter().chain(&named) {
        headers.remove(name);
    }
}

fn is_hop_by_hop(name: &HeaderName) -> bool {
    HOP_BY_HOP.contains(name) || matches!(name.as_str(), "keep-alive" | "proxy-connection")
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

/// A visitor must not make us drop what tells where a body ends, nor whose request it is.
fn is_framing(name: &HeaderName) -> bool {
    [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::HOST].contains(name)
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
    }
}
