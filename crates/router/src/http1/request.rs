//! Parses the head of a request, and recognizes ordinary ones.
//!
//! Unusual requests are not refused here: they take the slow path with all their bytes, where hyper decides.

use std::mem::MaybeUninit;

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{Method, Request, Uri, Version};
use httparse::Status;

use super::HEADERS_MAX;
use super::buffer::Buffers;

/// A request without surprises: its target is a path, and its body has come as a whole, or there is none.
#[derive(Debug)]
pub(crate) struct OrdinaryRequest {
    pub(crate) request: Request<()>,
    pub(crate) head_bytes: usize,
    pub(crate) body_bytes: usize,
    /// The client wants no further response on this connection.
    pub(crate) is_last: bool,
}

#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "it is taken apart at once, and a box costs each request an allocation"
)]
pub(crate) enum ParseResult {
    /// The head has not come to its end.
    Partial,
    Ordinary(OrdinaryRequest),
    /// For the slow path.
    Odd,
}

/// Looks at what has come so far.
pub(crate) fn read(bytes: &[u8], buffers: &Buffers) -> ParseResult {
    let mut headers = [const { MaybeUninit::uninit() }; HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut []);
    match parsed.parse_with_uninit_headers(bytes, &mut headers) {
        Ok(Status::Partial) => ParseResult::Partial,
        Ok(Status::Complete(head_bytes)) => {
            ordinary(bytes, head_bytes, &parsed, buffers).map_or(ParseResult::Odd, ParseResult::Ordinary)
        }
        Err(_) => ParseResult::Odd,
    }
}

fn ordinary(
    bytes: &[u8],
    head_bytes: usize,
    parsed: &httparse::Request<'_, '_>,
    buffers: &Buffers,
) -> Option<OrdinaryRequest> {
    let (method, version) = (method(parsed.method?)?, parsed.version?);
    let path = parsed.path.filter(|path| path.starts_with('/'))?;
    let head = Bytes::copy_from_slice(&bytes[..head_bytes]);
    let part = |part: &[u8]| head.slice(place(bytes, part));

    let mut framing = RequestFraming { is_last: version == 0, length: None };
    let mut map = buffers.headers();
    map.reserve(parsed.headers.len() + ADDED);
    for field in parsed.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
        framing.meet(&name, field.value)?;
        map.append(name, HeaderValue::from_maybe_shared(part(field.value)).ok()?);
    }
    let body_bytes = framing.length.unwrap_or(0);
    if bytes.len() - head_bytes < body_bytes {
        return None;
    }
    let mut request = Request::new(());
    *request.method_mut() = method;
    *request.uri_mut() = Uri::from_maybe_shared(part(path.as_bytes())).ok()?;
    *request.version_mut() = if version == 0 { Version::HTTP_10 } else { Version::HTTP_11 };
    *request.headers_mut() = map;
    Some(OrdinaryRequest { request, head_bytes, body_bytes, is_last: framing.is_last })
}

/// Headers that the phases add at most.
const ADDED: usize = 8;

/// Range of `part` within `bytes`.
pub(crate) fn place(bytes: &[u8], part: &[u8]) -> std::ops::Range<usize> {
    let start = part.as_ptr() as usize - bytes.as_ptr() as usize;
    start..start + part.len()
}

fn method(text: &str) -> Option<Method> {
    Some(match text {
        "GET" => Method::GET,
        "HEAD" => Method::HEAD,
        "POST" => Method::POST,
        "PUT" => Method::PUT,
        "PATCH" => Method::PATCH,
        "DELETE" => Method::DELETE,
        "OPTIONS" => Method::OPTIONS,
        _ => return None,
    })
}

/// Headers about this connection and the end of the request.
struct RequestFraming {
    is_last: bool,
    length: Option<usize>,
}

impl RequestFraming {
    /// `None` where the request is no longer an ordinary one.
    fn meet(&mut self, name: &HeaderName, value: &[u8]) -> Option<()> {
        match *name {
            header::CONTENT_LENGTH if self.length.is_some() => return None,
            header::CONTENT_LENGTH => self.length = Some(length(value)?),
            header::CONNECTION if value.eq_ignore_ascii_case(b"close") => self.is_last = true,
            // The older version, which closes otherwise, takes the slow path with it.
            header::CONNECTION if value.eq_ignore_ascii_case(b"keep-alive") && !self.is_last => {}
            header::CONNECTION | header::TRANSFER_ENCODING | header::EXPECT | header::UPGRADE => return None,
            _ => {}
        }
        Some(())
    }
}

/// Digits alone, and not too many.
fn length(value: &[u8]) -> Option<usize> {
    let is_number = !value.is_empty() && value.len() <= 9 && value.iter().all(u8::is_ascii_digit);
    is_number.then(|| std::str::from_utf8(value).ok()?.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> ParseResult {
        super::read(bytes, &Buffers::default())
    }

    fn is_odd(text: &str) -> bool {
        matches!(read(text.as_bytes()), ParseResult::Odd)
    }

    #[test]
    fn an_ordinary_request_is_read_with_its_body() {
        let text = "POST /a?b HTTP/1.1\r\nHost: a.com\r\nX-A:  b \r\nContent-Length: 2\r\nConnection: close\r\n\r\nhiGET";

        let ParseResult::Ordinary(OrdinaryRequest { request, head_bytes, body_bytes, is_last }) =
            read(text.as_bytes())
        else {
            panic!("it is ordinary");
        };

        assert_eq!((request.method(), request.uri().to_string().as_str()), (&Method::POST, "/a?b"));
        assert_eq!(request.headers()["x-a"], "b");
        assert_eq!((&text[head_bytes..head_bytes + body_bytes], is_last), ("hi", true));
    }

    #[test]
    fn a_head_that_is_not_there_yet_is_waited_for() {
        for text in ["", "GET", "GET / HTTP/1.1\r\nHost: a.com\r\n"] {
            assert!(matches!(read(text.as_bytes()), ParseResult::Partial), "{text}");
        }
    }

    #[test]
    fn what_is_odd_or_rare_takes_the_slow_path() {
        for text in [
            "CONNECT a.com:80 HTTP/1.1\r\n\r\n",
            "PROPFIND / HTTP/1.1\r\n\r\n",
            "GET http://a.com/ HTTP/1.1\r\n\r\n",
            "OPTIONS * HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
            "GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
            "GET / HTTP/1.1\r\nConnection: close, x-a\r\n\r\n",
            "POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nhi",
            "POST / HTTP/1.1\r\nContent-Length: +2\r\n\r\nhi",
            "POST / HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi",
            "POST / HTTP/1.1\r\nContent-Length: 18446744073709551617\r\n\r\n",
            "GET  / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nA : b\r\n\r\n",
        ] {
            assert!(is_odd(text), "{text}");
        }
    }
}
