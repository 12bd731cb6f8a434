//! Headers of one connection: framing, hop-by-hop headers, upgrades.

use std::io::Write as _;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};

use super::response::length;
use super::response_error::ResponseError;

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
pub(crate) const OURS: [&str; 10] = [
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
pub(crate) fn upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let protocol = headers.get(header::UPGRADE)?;
    let wants_upgrade = connection_options(headers).any(|option| option.eq_ignore_ascii_case("upgrade"));
    // Anywhere in the value: apps may read a damaged list in any way.
    let is_h2c = protocol.to_str().ok()?.to_ascii_lowercase().contains("h2c");
    (wants_upgrade && !is_h2c).then(|| protocol.clone())
}

/// Returns true if a response switches to requested protocols, and to no others (RFC 9110 section 7.8).
pub(crate) fn agrees(asked: &HeaderValue, answer: &HeaderMap) -> bool {
    let words = |value: &HeaderValue| -> Vec<String> {
        let text = value.to_str().unwrap_or_default().to_ascii_lowercase();
        text.split(',').map(|word| word.trim().to_owned()).collect()
    };
    let (asked, chosen) = (words(asked), answer.get(header::UPGRADE).map(words).unwrap_or_default());
    !chosen.is_empty() && chosen.iter().all(|protocol| asked.contains(protocol))
}

/// Limits the head of a response; hyper limits the bytes that it has not read yet.
pub(crate) fn check_size(headers: &HeaderMap, bytes_max: usize) -> Result<(), ResponseError> {
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if bytes > bytes_max { Err(ResponseError::HeadTooLarge) } else { Ok(()) }
}

/// Checks the head of a response by the rules of both paths, where hyper accepts more: one length, and no coding
/// but chunks.
pub(crate) fn check_answer(headers: &mut HeaderMap, status: StatusCode) -> Result<(), ResponseError> {
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
pub(crate) fn has_known_coding(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(coding), None) => coding.as_bytes().eq_ignore_ascii_case(b"chunked"),
        _ => false,
    }
}

/// Returns true for a response that has no body, whatever its headers say (RFC 9112 section 6.3).
pub(crate) fn has_no_body(method: &Method, status: StatusCode) -> bool {
    *method == Method::HEAD
        || status.is_informational()
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// Returns true for a response without a body whose headers announce one (RFC 9110 section 6.4.1). An app may send
/// that body all the same, and the next request on the connection would take it for its response.
pub(crate) fn may_trail(method: &Method, status: StatusCode, headers: &HeaderMap) -> bool {
    let is_announced = || {
        headers.contains_key(header::TRANSFER_ENCODING)
            || headers.get(header::CONTENT_LENGTH).is_some_and(|length| length != "0")
    };
    has_no_body(method, status) && is_announced()
}

/// Removes what must not travel on.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) {
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

/// A short value made of digits, letters and signs; takes one allocation of just its size.
pub(crate) fn written(text: std::fmt::Arguments<'_>) -> HeaderValue {
    let mut buffer = [0; 64];
    let mut free = &mut buffer[..];
    free.write_fmt(text).expect("addresses, moments and ids are shorter");
    let left = free.len();
    HeaderValue::from_bytes(&buffer[..buffer.len() - left]).expect("they are valid header values")
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
}
