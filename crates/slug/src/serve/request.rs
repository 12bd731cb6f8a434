//! The head of a request: target, conditions, and keep-alive.

use std::io::{self, BufRead, Read};

/// Longest head of a request, in bytes.
const HEAD_BYTES_MAX: u64 = 16 * 1024;

/// A request of a client.
#[derive(Debug, PartialEq, Eq)]
pub struct Request {
    pub method: String,
    /// The target's path, still encoded, without the query.
    pub path: String,
    /// The query with its question mark, as it came; empty where there is none.
    pub query: String,
    /// The connection may serve another request.
    pub keep_alive: bool,
    pub if_none_match: Option<String>,
    pub range: Option<String>,
    pub if_range: Option<String>,
    pub host: Option<String>,
    /// Scheme of the client, where the edge says it.
    pub forwarded_proto: Option<String>,
}

/// End of a connection without a request.
#[derive(Debug, PartialEq, Eq)]
pub enum NoRequest {
    /// The connection has ended.
    Ended,
    /// Not HTTP, or more of it than is read: the status to answer with.
    Refused(u16),
}

/// Reads one head.
pub fn read(from: &mut impl BufRead) -> Result<Request, NoRequest> {
    let mut from = from.take(HEAD_BYTES_MAX);
    let first = read_line(&mut from)?;
    let mut words = first.split(' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(NoRequest::Refused(400));
    };
    let (path, query) = path_of(target).ok_or(NoRequest::Refused(400))?;
    let mut request = Request {
        method: method.to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        keep_alive: match version {
            "HTTP/1.1" => true,
            "HTTP/1.0" => false,
            _ => return Err(NoRequest::Refused(505)),
        },
        if_none_match: None,
        range: None,
        if_range: None,
        host: None,
        forwarded_proto: None,
    };
    loop {
        let line = read_line(&mut from)?;
        if line.is_empty() {
            return Ok(request);
        }
        let (name, value) = line.split_once(':').ok_or(NoRequest::Refused(400))?;
        request.take_header(&name.to_ascii_lowercase(), value.trim());
    }
}

impl Request {
    fn take_header(&mut self, name: &str, value: &str) {
        match name {
            "connection" => self.keep_alive &= !value.to_ascii_lowercase().contains("close"),
            "if-none-match" => self.if_none_match = Some(value.to_owned()),
            "range" => self.range = Some(value.to_owned()),
            "host" => self.host = Some(value.to_owned()),
            "x-forwarded-proto" => self.forwarded_proto = Some(value.to_ascii_lowercase()),
            "if-range" => self.if_range = Some(value.to_owned()),
            // A body is not read, so nothing can follow it.
            "transfer-encoding" => self.keep_alive = false,
            "content-length" if value != "0" => self.keep_alive = false,
            _ => {}
        }
    }
}

fn read_line(from: &mut io::Take<&mut impl BufRead>) -> Result<String, NoRequest> {
    let mut line = Vec::new();
    let read = from.read_until(b'\n', &mut line).map_err(|_| NoRequest::Ended)?;
    match line.strip_suffix(b"\n") {
        Some(line) => {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            String::from_utf8(line.to_vec()).map_err(|_| NoRequest::Refused(400))
        }
        None if read == 0 && from.limit() > 0 => Err(NoRequest::Ended),
        None if from.limit() == 0 => Err(NoRequest::Refused(431)),
        None => Err(NoRequest::Ended),
    }
}

/// The path and the query of `/path?query` or `http://host/path?query`.
fn path_of(target: &str) -> Option<(&str, &str)> {
    let path = match target.split_once("://") {
        Some((_, rest)) if !target.starts_with('/') => rest.find('/').map_or("/", |at| &rest[at..]),
        _ => target,
    };
    let path = path.split('#').next()?;
    let (path, query) = path.split_at(path.find('?').unwrap_or(path.len()));
    path.starts_with('/').then_some((path, query))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(text: &str) -> Result<Request, NoRequest> {
        read(&mut text.as_bytes())
    }

    #[test]
    fn a_request_has_method_path_and_what_becomes_of_the_connection() {
        let one =
            request("GET /a%20b?c HTTP/1.1\r\nHost: x\r\nIf-None-Match: \"1\"\r\n\r\n").expect("a request");
        let other = request("HEAD http://x/y HTTP/1.1\r\nConnection: Close\r\n\r\n").expect("a request");

        assert_eq!(
            (one.path.as_str(), one.query.as_str(), one.keep_alive, one.if_none_match.as_deref()),
            ("/a%20b", "?c", true, Some("\"1\""))
        );
        assert_eq!((other.method.as_str(), other.path.as_str(), other.keep_alive), ("HEAD", "/y", false));
    }

    #[test]
    fn a_request_with_a_body_is_the_last_of_its_connection() {
        for header in ["Content-Length: 5", "Transfer-Encoding: chunked"] {
            let request = request(&format!("POST / HTTP/1.1\r\n{header}\r\n\r\n")).expect("a request");

            assert!(!request.keep_alive, "{header}");
        }
    }

    #[test]
    fn what_is_no_request_is_refused() {
        assert_eq!(request(""), Err(NoRequest::Ended));
        assert_eq!(request("GET / HTTP/1.1\r\nHost"), Err(NoRequest::Ended));
        assert_eq!(request("hello\r\n"), Err(NoRequest::Refused(400)));
        assert_eq!(request("GET x HTTP/1.1\r\n\r\n"), Err(NoRequest::Refused(400)));
        assert_eq!(request("GET / HTTP/3\r\n\r\n"), Err(NoRequest::Refused(505)));
        let long = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(20_000));
        assert_eq!(request(&long), Err(NoRequest::Refused(431)));
    }
}
