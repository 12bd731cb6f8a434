//! Reads the head of an app's answer, and how its body ends (RFC 9112 section 6.3).

use std::mem::MaybeUninit;

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Response, StatusCode};
use httparse::Status;
use hyper::ext::ReasonPhrase;

use super::HEADERS_MAX;
use super::buffer::Buffers;
use super::headers;
use super::request::place;
use super::response_error::ResponseError;

/// An answer's head.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) response: Response<()>,
    pub(crate) ends: BodyEnd,
    /// The connection can take another request once the body has ended.
    pub(crate) stays_open: bool,
}

/// End of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyEnd {
    /// There is none.
    AtOnce,
    After(u64),
    ByChunks,
    WithConnection,
}

/// The head of the answer proper, and how many bytes it is behind; heads of the kind 1xx come before it and are
/// passed over. `None` until it is there.
pub(crate) fn read(
    bytes: &[u8],
    method: &Method,
    buffers: &Buffers,
) -> Result<Option<(Head, usize)>, ResponseError> {
    let mut behind = 0;
    loop {
        let Some((head, length)) = read_one(&bytes[behind..], method, buffers)? else { return Ok(None) };
        behind += length;
        let status = head.response.status();
        if !status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(Some((head, behind)));
        }
    }
}

fn read_one(
    bytes: &[u8],
    method: &Method,
    buffers: &Buffers,
) -> Result<Option<(Head, usize)>, ResponseError> {
    let mut headers = [const { MaybeUninit::uninit() }; HEADERS_MAX];
    let mut parsed = httparse::Response::new(&mut []);
    let parser = httparse::ParserConfig::default();
    match parser.parse_response_with_uninit_headers(&mut parsed, bytes, &mut headers) {
        Ok(Status::Complete(length)) => {
            head(bytes, length, &parsed, method, buffers).map(|head| Some((head, length)))
        }
        Ok(Status::Partial) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn head(
    bytes: &[u8],
    length: usize,
    parsed: &httparse::Response<'_, '_>,
    method: &Method,
    buffers: &Buffers,
) -> Result<Head, ResponseError> {
    let shared = Bytes::copy_from_slice(&bytes[..length]);
    let status = parsed.code.and_then(|code| StatusCode::from_u16(code).ok());
    let status = status.ok_or(ResponseError::StatusLine)?;
    let is_newest = parsed.version == Some(1);
    let mut framing = ResponseFraming {
        stays_open: is_newest,
        is_closing: false,
        length: None,
        codings: 0,
        is_chunked: false,
    };
    let mut response = Response::new(());
    *response.status_mut() = status;
    *response.headers_mut() = buffers.headers();
    let map = response.headers_mut();
    map.reserve(parsed.headers.len() + ADDED);
    for field in parsed.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| ResponseError::Header)?;
        let value = HeaderValue::from_maybe_shared(shared.slice(place(bytes, field.value)))
            .map_err(|_| ResponseError::Header)?;
        framing.meet(&name, field.value, map)?;
        map.append(name, value);
    }
    if let Some(reason) = parsed.reason.filter(|reason| Some(*reason) != status.canonical_reason()) {
        let reason = ReasonPhrase::try_from(reason.as_bytes()).map_err(|_| ResponseError::StatusLine)?;
        response.extensions_mut().insert(reason);
    }
    let ends = framing.ends(method, status, is_newest)?;
    let has_end = match ends {
        BodyEnd::AtOnce => !headers::may_trail(method, status, response.headers()),
        BodyEnd::After(_) | BodyEnd::ByChunks => true,
        BodyEnd::WithConnection => false,
    };
    let stays_open = framing.stays_open && has_end;
    Ok(Head { response, ends, stays_open })
}

/// Headers that the phases add at most.
const ADDED: usize = 8;

/// Headers about the connection and the end of the response.
struct ResponseFraming {
    stays_open: bool,
    is_closing: bool,
    length: Option<u64>,
    codings: usize,
    /// The last transfer coding is `chunked`.
    is_chunked: bool,
}

impl ResponseFraming {
    fn meet(&mut self, name: &HeaderName, value: &[u8], before: &mut HeaderMap) -> Result<(), ResponseError> {
        match *name {
            header::CONTENT_LENGTH => {
                let length = length(value)?;
                if self.length.replace(length).is_some_and(|other| other != length) {
                    return Err(ResponseError::ContentLength);
                }
                // Repeated equal lengths are sent once.
                before.remove(header::CONTENT_LENGTH);
            }
            header::TRANSFER_ENCODING => {
                self.codings += 1;
                let last = value.rsplit(|byte| *byte == b',').next().unwrap_or_default();
                self.is_chunked = last.trim_ascii().eq_ignore_ascii_case(b"chunked");
            }
            header::CONNECTION => {
                let options = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
                let has = |wanted: &[u8]| options.clone().any(|option| option.eq_ignore_ascii_case(wanted));
                self.is_closing |= has(b"close");
                self.stays_open = !self.is_closing && (self.stays_open || has(b"keep-alive"));
            }
            _ => {}
        }
        Ok(())
    }

    fn ends(&self, method: &Method, status: StatusCode, is_newest: bool) -> Result<BodyEnd, ResponseError> {
        if headers::has_no_body(method, status) {
            return Ok(BodyEnd::AtOnce);
        }
        match (self.codings, self.length) {
            (1.., _) if !is_newest => Err(ResponseError::TransferCoding),
            (1.., _) if self.is_chunked => Ok(BodyEnd::ByChunks),
            (1.., _) => Ok(BodyEnd::WithConnection),
            (0, Some(length)) => Ok(BodyEnd::After(length)),
            (0, None) => Ok(BodyEnd::WithConnection),
        }
    }
}

/// Reads a Content-Length: digits alone, and no list.
pub(crate) fn length(value: &[u8]) -> Result<u64, ResponseError> {
    let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(value).ok().filter(|_| is_number);
    // The largest numbers mean other things to hyper, and nothing to anyone.
    let length = text.and_then(|text| text.parse().ok()).filter(|length| *length < u64::MAX - 1);
    length.ok_or(ResponseError::ContentLength)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], method: &Method) -> Result<Option<(Head, usize)>, ResponseError> {
        super::read(bytes, method, &Buffers::default())
    }

    fn ends(method: &Method, head: &str) -> Result<BodyEnd, ResponseError> {
        let read = read(format!("HTTP/1.1 {head}\r\n\r\n").as_bytes(), method)?;
        Ok(read.expect("a whole head").0.ends)
    }

    #[test]
    fn where_an_answer_ends_is_read_as_the_rules_say() {
        let get = Method::GET;
        for (head, wanted) in [
            ("200 OK\r\nContent-Length: 5", Ok(BodyEnd::After(5))),
            ("200 OK\r\nContent-Length: 5\r\nContent-Length: 5", Ok(BodyEnd::After(5))),
            ("200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5", Ok(BodyEnd::ByChunks)),
            ("200 OK\r\nTransfer-Encoding: gzip, chunked", Ok(BodyEnd::ByChunks)),
            ("200 OK\r\nTransfer-Encoding: gzip", Ok(BodyEnd::WithConnection)),
            ("200 OK", Ok(BodyEnd::WithConnection)),
            ("204 No Content\r\nContent-Length: 5", Ok(BodyEnd::AtOnce)),
            ("304 Not Modified\r\nTransfer-Encoding: chunked", Ok(BodyEnd::AtOnce)),
            ("200 OK\r\nContent-Length: 5\r\nContent-Length: 6", Err(ResponseError::ContentLength)),
            ("200 OK\r\nContent-Length: 5, 6", Err(ResponseError::ContentLength)),
            ("200 OK\r\nContent-Length: -5", Err(ResponseError::ContentLength)),
            ("200 OK\r\nA: b\rC", Err(ResponseError::Header)),
            ("200 OK\r\nA: b\r\n c", Err(ResponseError::Header)),
            ("2x0 OK", Err(ResponseError::StatusLine)),
        ] {
            assert_eq!(ends(&get, head), wanted, "{head}");
        }
        assert_eq!(ends(&Method::HEAD, "200 OK\r\nContent-Length: 5"), Ok(BodyEnd::AtOnce));
    }

    #[test]
    fn heads_that_only_inform_are_passed_over() {
        let text = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 Fine\r\n\r\nhi";

        let (head, behind) = read(text.as_bytes(), &Method::GET).expect("well formed").expect("whole");

        assert_eq!((&text[behind..], head.response.status().as_u16()), ("hi", 200));
        assert_eq!(
            head.response.extensions().get::<ReasonPhrase>().map(|it| it.as_bytes()),
            Some(&b"Fine"[..])
        );
        assert!(head.response.headers().is_empty());
        assert_eq!(read(&text.as_bytes()[..40], &Method::GET).expect("so far so good").map(|it| it.1), None);
    }

    #[test]
    fn a_connection_stays_open_where_both_sides_can_tell_the_end() {
        let stays_open = |text: &str| {
            let read = read(text.as_bytes(), &Method::GET).expect("well formed");
            read.expect("whole").0.stays_open
        };

        assert!(stays_open("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
        assert!(stays_open("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n"));
        assert!(!stays_open("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"));
        assert!(!stays_open("HTTP/1.1 200 OK\r\n\r\n"));
        assert!(!stays_open(
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: x, Close\r\nConnection: keep-alive\r\n\r\n"
        ));
        assert!(stays_open("HTTP/1.1 304 Not Modified\r\n\r\n"));
        assert!(stays_open("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"));
        assert!(!stays_open("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"));
        assert!(!stays_open("HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n"));
    }
}
