//! Serialization of heads.

use std::time::SystemTime;

use http::{HeaderMap, Request, Response, StatusCode, Version, header};
use hyper::ext::ReasonPhrase;

use super::response::BodyEnd;

/// The head of a request to an app.
pub(crate) fn request(request: &Request<()>, out: &mut Vec<u8>) {
    out.extend(request.method().as_str().as_bytes());
    out.push(b' ');
    out.extend(request.uri().path_and_query().map_or("/", |path| path.as_str()).as_bytes());
    out.extend(b" HTTP/1.1\r\n");
    headers(request.headers(), out);
    out.extend(b"\r\n");
}

/// Framing of a body for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyFraming {
    /// There is no body, or the headers say its length.
    Declared,
    Chunks,
    /// By the end of the connection.
    Close,
}

/// Chooses the framing for a client of this version, where the app ends the body so.
pub(crate) fn framing(ends: BodyEnd, version: Version) -> BodyFraming {
    match ends {
        BodyEnd::AtOnce | BodyEnd::After(_) => BodyFraming::Declared,
        BodyEnd::ByChunks | BodyEnd::WithConnection if version == Version::HTTP_11 => BodyFraming::Chunks,
        BodyEnd::ByChunks | BodyEnd::WithConnection => BodyFraming::Close,
    }
}

/// The head of a response for a client of this version.
pub(crate) fn response(
    response: &Response<()>,
    version: Version,
    framing: BodyFraming,
    is_last: bool,
    out: &mut Vec<u8>,
) {
    let is_newest = version == Version::HTTP_11;
    status_line(response, is_newest, out);
    headers(response.headers(), out);
    if is_last && is_newest {
        out.extend(b"connection: close\r\n");
    }
    if framing == BodyFraming::Chunks {
        out.extend(b"transfer-encoding: chunked\r\n");
    }
    if !response.headers().contains_key(header::DATE) {
        out.extend(b"date: ");
        out.extend(httpdate::fmt_http_date(SystemTime::now()).as_bytes());
        out.extend(b"\r\n");
    }
    out.extend(b"\r\n");
}

fn status_line(response: &Response<()>, is_newest: bool, out: &mut Vec<u8>) {
    let status = response.status();
    let reason = response.extensions().get::<ReasonPhrase>();
    if status == StatusCode::OK && is_newest && reason.is_none() {
        return out.extend(b"HTTP/1.1 200 OK\r\n");
    }
    out.extend(if is_newest { b"HTTP/1.1 " } else { b"HTTP/1.0 " });
    out.extend(status.as_str().as_bytes());
    out.push(b' ');
    let known = || status.canonical_reason().unwrap_or("<none>").as_bytes();
    out.extend(reason.map_or_else(known, ReasonPhrase::as_bytes));
    out.extend(b"\r\n");
}

fn headers(headers: &HeaderMap, out: &mut Vec<u8>) {
    for (name, value) in headers {
        out.extend(name.as_str().as_bytes());
        out.extend(b": ");
        out.extend(value.as_bytes());
        out.extend(b"\r\n");
    }
}
