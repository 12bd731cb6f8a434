//! Answers the requests of one connection with the files of the root.

use std::fs::{File, Metadata};
use std::io::{self, BufReader, Read as _, Seek as _, SeekFrom, Write};
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::connections::ConnectionSlot;
use super::media_type;
use super::range::{self, RangeRequest};
use super::request::{self, NoRequest, Request};

/// Longest wait for a client to send or receive something.
const TIMEOUT: Duration = Duration::from_secs(75);

/// Result of looking up a path.
enum Resource {
    File {
        path: PathBuf,
        file: File,
        metadata: Metadata,
    },
    /// A folder that was asked for without the slash at its end.
    Folder {
        location: String,
    },
    Nothing,
    /// The path cannot be meant.
    Malformed,
}

/// The served files.
#[derive(Debug)]
pub struct StaticSite {
    pub root: PathBuf,
    /// The file of the root that answers where a path that names no file is asked for: a page that does its own routing.
    pub fallback: Option<String>,
}

/// Serves requests until the connection or the server ends.
pub fn converse(stream: TcpStream, site: &StaticSite, place: &ConnectionSlot) {
    let ready = stream.set_read_timeout(Some(TIMEOUT)).and(stream.set_write_timeout(Some(TIMEOUT)));
    let Ok(mut to) = ready.and(stream.set_nodelay(true)).and_then(|()| stream.try_clone()) else { return };
    let mut from = BufReader::new(stream);
    loop {
        if !place.set_idle(true) {
            return;
        }
        let request = request::read(&mut from);
        let goes_on = place.set_idle(false);
        let answered = match request {
            Ok(request) => answer(&request, site, goes_on, &mut to),
            Err(NoRequest::Refused(status)) => {
                say(&mut to, status, "", &reason(status), false, false).map(|()| false)
            }
            Err(NoRequest::Ended) => return,
        };
        if !matches!(answered, Ok(true)) {
            return;
        }
    }
}

/// Answers one request; true when the connection may serve another.
fn answer(request: &Request, site: &StaticSite, goes_on: bool, to: &mut TcpStream) -> io::Result<bool> {
    let root = &site.root;
    let keep = request.keep_alive && goes_on;
    let head_only = request.method == "HEAD";
    if !head_only && request.method != "GET" {
        say(to, 405, "Allow: GET, HEAD\r\n", &reason(405), keep, false)?;
        return Ok(keep);
    }
    match find(root, &request.path) {
        Resource::File { path, file, metadata } => send(to, request, 200, &path, file, &metadata, keep)?,
        Resource::Folder { location } => {
            let query = &request.query;
            say(to, 301, &format!("Location: {location}{query}\r\n"), &reason(301), keep, head_only)?;
        }
        Resource::Malformed => say(to, 400, "", &reason(400), keep, head_only)?,
        Resource::Nothing => match site.fallback_for(&request.path) {
            Resource::File { path, file, metadata } => send(to, request, 200, &path, file, &metadata, keep)?,
            _ => lost(to, request, root, keep)?,
        },
    }
    Ok(keep)
}

impl StaticSite {
    /// The page of an app of one page, for a path that is none of a missing file such as `/logo.png`.
    fn fallback_for(&self, path: &str) -> Resource {
        let names_file = path.rsplit('/').next().is_some_and(|last| last.contains('.'));
        match &self.fallback {
            Some(fallback) if !names_file => open(self.root.join(fallback)),
            _ => Resource::Nothing,
        }
    }
}

fn lost(to: &mut TcpStream, request: &Request, root: &Path, keep: bool) -> io::Result<()> {
    match open(root.join("404.html")) {
        Resource::File { path, file, metadata } => send(to, request, 404, &path, file, &metadata, keep),
        _ => say(to, 404, "", &reason(404), keep, request.method == "HEAD"),
    }
}

fn find(root: &Path, encoded: &str) -> Resource {
    let Some(decoded) = decode(encoded) else { return Resource::Malformed };
    let parts: Vec<_> = decoded.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if parts.contains(&"..") || decoded.contains('\0') {
        return Resource::Malformed;
    }
    if parts.iter().any(|part| part.starts_with('.') && *part != ".well-known") || is_for_the_platform(&parts)
    {
        return Resource::Nothing;
    }
    // A link may lead anywhere in the root, but not out of it.
    let Ok(path) = root.join(parts.join("/")).canonicalize() else { return Resource::Nothing };
    match path.starts_with(root) {
        false => Resource::Nothing,
        true if path.is_dir() && decoded.ends_with('/') => open(path.join("index.html")),
        true if path.is_dir() => Resource::Folder { location: format!("/{}/", encode(&parts.join("/"))) },
        true => open(path),
    }
}

/// Files at the root that are meant for the platform, not for clients.
fn is_for_the_platform(parts: &[&str]) -> bool {
    matches!(parts, ["Procfile" | "Staticfile"])
}

fn open(path: PathBuf) -> Resource {
    match File::open(&path).and_then(|file| file.metadata().map(|metadata| (file, metadata))) {
        Ok((file, metadata)) if metadata.is_file() => Resource::File { path, file, metadata },
        _ => Resource::Nothing,
    }
}

fn send(
    to: &mut TcpStream,
    request: &Request,
    status: u16,
    path: &Path,
    mut file: File,
    metadata: &Metadata,
    keep: bool,
) -> io::Result<()> {
    // In a slug a file's time is made from its content, so this changes with it.
    let tag = format!("\"{:x}-{:x}\"", metadata.mtime(), metadata.len());
    if status == 200
        && request.if_none_match.as_ref().is_some_and(|known| known == "*" || known.contains(&tag))
    {
        return head(to, 304, &format!("ETag: {tag}\r\n"), None, keep);
    }
    let length = metadata.len();
    // A part of another version than the one that the client has would be of no use to it (RFC 9110, section 13.1.5).
    let is_current = request.if_range.as_ref().is_none_or(|known| *known == tag);
    let asked = request.range.as_deref().filter(|_| status == 200 && request.method == "GET" && is_current);
    let (status, bytes, part) = match range::part(asked, length) {
        RangeRequest::Whole => (status, 0..length, String::new()),
        RangeRequest::Bytes(bytes) => {
            let part = format!("Content-Range: bytes {}-{}/{length}\r\n", bytes.start, bytes.end - 1);
            (206, bytes, part)
        }
        RangeRequest::OutOfReach => {
            let part = format!("Content-Range: bytes */{length}\r\n");
            return say(to, 416, &part, &reason(416), keep, false);
        }
    };
    let kind = media_type::of(path);
    let fields = format!("Content-Type: {kind}\r\nETag: {tag}\r\nAccept-Ranges: bytes\r\n{part}");
    let length = bytes.end - bytes.start;
    head(to, status, &fields, Some(length), keep)?;
    if request.method == "HEAD" {
        return Ok(());
    }
    file.seek(SeekFrom::Start(bytes.start))?;
    let sent = io::copy(&mut file.take(length), to)?;
    if sent == length { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// Answers with a short text.
fn say(
    to: &mut TcpStream,
    status: u16,
    fields: &str,
    text: &str,
    keep: bool,
    head_only: bool,
) -> io::Result<()> {
    let fields = format!("Content-Type: text/plain; charset=utf-8\r\n{fields}");
    head(to, status, &fields, Some(text.len() as u64 + 1), keep)?;
    if head_only { Ok(()) } else { to.write_all(format!("{text}\n").as_bytes()) }
}

fn head(to: &mut TcpStream, status: u16, fields: &str, length: Option<u64>, keep: bool) -> io::Result<()> {
    let length = length.map(|length| format!("Content-Length: {length}\r\n")).unwrap_or_default();
    let connection = if keep { "" } else { "Connection: close\r\n" };
    let reason = reason(status);
    let head = format!(
        "HTTP/1.1 {status} {reason}\r\n{fields}{length}X-Content-Type-Options: nosniff\r\n{connection}\r\n"
    );
    to.write_all(head.as_bytes())
}

fn reason(status: u16) -> String {
    let text = match status {
        200 => "OK",
        206 => "Partial Content",
        301 => "Moved Permanently",
        304 => "Not Modified",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        416 => "Range Not Satisfiable",
        431 => "Request Header Fields Too Large",
        505 => "HTTP Version Not Supported",
        _ => "Error",
    };
    text.to_owned()
}

fn decode(encoded: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(encoded.len());
    let mut bytes = encoded.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
            let (high, low) = (digit(bytes.next())?, digit(bytes.next())?);
            decoded.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            decoded.push(byte);
        }
    }
    String::from_utf8(decoded).ok()
}

fn encode(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
    path.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoded_paths_come_back_as_they_were() {
        assert_eq!(decode("/a%20%C3%A4").as_deref(), Some("/a ä"));
        assert_eq!(encode("a ä/b"), "a%20%C3%A4/b");
        for bad in ["%", "%4", "%zz", "%ff"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }

    #[test]
    fn nothing_outside_of_the_root_is_found() {
        let dir = tempfile::tempdir().expect("dir");
        let root = dir.path().canonicalize().expect("path").join("public");
        std::fs::create_dir_all(root.join("docs")).expect("folder");
        std::fs::create_dir_all(root.join(".git")).expect("folder");
        for file in ["../secret", "docs/index.html", ".git/config", "Procfile"] {
            std::fs::write(root.join(file), "x").expect("file");
        }
        std::os::unix::fs::symlink("../secret", root.join("link")).expect("link");

        assert!(matches!(find(&root, "/docs/"), Resource::File { .. }));
        assert!(matches!(find(&root, "//docs"), Resource::Folder { location } if location == "/docs/"));
        for hidden in ["/link", "/.git/config", "/Procfile", "/docs/none", "/"] {
            assert!(matches!(find(&root, hidden), Resource::Nothing), "{hidden}");
        }
        for bad in ["/../secret", "/docs/%2e%2e/%2e%2e/secret", "/a%00", "/%zz"] {
            assert!(matches!(find(&root, bad), Resource::Malformed), "{bad}");
        }
    }
}
