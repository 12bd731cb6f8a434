//! One HTTP request to a port of this machine, byte for byte as a scenario writes it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

const ANSWER_MAX: u64 = 8 << 20;

/// Status, head and body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    pub head: String,
    pub body: String,
}

/// Response to `GET path` for `host`; an error text where none came.
pub fn get(port: u16, host: &str, path: &str) -> Result<Response, String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).map_err(|error| error.to_string())?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).map_err(|error| error.to_string())?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
        .map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    stream.take(ANSWER_MAX).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").ok_or("no answer")?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or("no status")?;
    Ok(Response { status, head: head.to_ascii_lowercase(), body: body.to_owned() })
}
