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
use super::redirects::RedirectAnswer;
use super::request::{self, NoRequest, Request};
use super::static_json::StaticRules;

/// Longest wait for a client to send or receive something.
const TIMEOUT: Duration = Duration::from_secs(75);

/// A file of the site.
struct OpenFile {
    path: PathBuf,
    file: File,
    metadata: Metadata,
}

/// Result of looking up a path.
enum Resource {
    File(OpenFile),
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
    pub rules: StaticRules,
}

/// The answer to a path.
enum Reply {
    File(u16, Resource),
    Move(u16, String),
    Malformed,
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
    let keep = request.keep_alive && goes_on;
    let head_only = request.method == "HEAD";
    if !head_only && request.method != "GET" {
        say(to, 405, "Allow: GET, HEAD\r\n", &reason(405), keep, false)?;
        return Ok(keep);
    }
    match site.reply(request) {
        Reply::File(status, Resource::File(file)) => {
            send(to, request, &site.rules, status, file, keep)?;
        }
        Reply::Move(status, location) => {
            let fields = format!("Location: {location}\r\n");
            say(to, status, &fields, &reason(status), keep, head_only)?;
        }
        Reply::Malformed => say(to, 400, "", &reason(400), keep, head_only)?,
        Reply::File(..) => say(to, 404, "", &reason(404), keep, head_only)?,
    }
    Ok(keep)
}

impl StaticSite {
    /// Applies the rules in their order: where the client should be, forced redirects, files, redirects, routes, the page of an
    /// app of one page, and at last the page for what is not there.
    fn reply(&self, request: &Request) -> Reply {
        if let Some(location) = self.other_place(request) {
            return Reply::Move(301, location);
        }
        let Some(path) = decode(&request.path) else { return Reply::Malformed };
        if let Some(reply) = self.redirected(&path, &request.query, true) {
            return reply;
        }
        match self.file_of(&request.path) {
            found @ Resource::File(_) => return Reply::File(200, found),
            Resource::Folder { location } => return Reply::Move(301, format!("{location}{}", request.query)),
            Resource::Malformed => return Reply::Malformed,
            Resource::Nothing => {}
        }
        if let Some(reply) = self.redirected(&path, &request.query, false) {
            return reply;
        }
        let route = self.rules.routes.iter().find(|(pattern, _)| pattern.matches(&path));
        if let Some(found @ Resource::File(_)) = route.map(|(_, file)| self.own_file(file)) {
            return Reply::File(200, found);
        }
        match self.fallback_for(&request.path) {
            found @ Resource::File(_) => Reply::File(200, found),
            _ => Reply::File(404, self.own_file(self.rules.error_page.as_deref().unwrap_or("404.html"))),
        }
    }

    /// Another scheme or host, for clients whose scheme the edge has told; checks of the platform come without it.
    fn other_place(&self, request: &Request) -> Option<String> {
        let scheme = request.forwarded_proto.as_deref()?;
        let host = request.host.as_deref().filter(|host| is_host(host))?;
        let wanted_scheme = if self.rules.https_only { "https" } else { scheme };
        let wanted_host = self.rules.canonical_host.as_deref().unwrap_or(host);
        let is_there = scheme == wanted_scheme && host.eq_ignore_ascii_case(wanted_host);
        (!is_there).then(|| format!("{wanted_scheme}://{wanted_host}{}{}", request.path, request.query))
    }

    fn redirected(&self, path: &str, query: &str, is_forced: bool) -> Option<Reply> {
        let rules = self.rules.redirects.iter().filter(|rule| rule.is_forced == is_forced);
        let (rule, target) = rules.filter_map(|rule| Some((rule, rule.target(path, encode)?))).next()?;
        match rule.answer {
            RedirectAnswer::Move(status) if target.contains('?') => Some(Reply::Move(status, target)),
            RedirectAnswer::Move(status) => Some(Reply::Move(status, format!("{target}{query}"))),
            RedirectAnswer::File(status) => {
                match self.file_of(target.split('?').next().unwrap_or_default()) {
                    found @ Resource::File(_) => Some(Reply::File(status, found)),
                    _ => None,
                }
            }
        }
    }

    fn file_of(&self, path: &str) -> Resource {
        if self.rules.clean_urls
            && !path.ends_with('/')
            && let found @ Resource::File(_) = find(&self.root, &format!("{path}.html"))
        {
            return found;
        }
        find(&self.root, path)
    }

    /// A file that a rule names.
    fn own_file(&self, name: &str) -> Resource {
        find(&self.root, &encode(&format!("/{}", name.trim_start_matches('/'))))
    }

    /// The page of an app of one page, for a path that is none of a missing file such as `/logo.png`.
    fn fallback_for(&self, path: &str) -> Resource {
        let names_file = path.rsplit('/').next().is_some_and(|last| last.contains('.'));
        match &self.fallback {
            Some(fallback) if !names_file => self.own_file(fallback),
            _ => Resource::Nothing,
        }
    }
}

/// A value that can stand in a `Location`.
fn is_host(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte))
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
    matches!(parts, ["Procfile" | "Staticfile" | "static.json" | "_redirects"])
}

fn open(path: PathBuf) -> Resource {
    match File::open(&path).and_then(|file| file.metadata().map(|metadata| (file, metadata))) {
        Ok((file, metadata)) if metadata.is_file() => Resource::File(OpenFile { path, file, metadata }),
        _ => Resource::Nothing,
    }
}

fn send(
    to: &mut TcpStream,
    request: &Request,
    rules: &StaticRules,
    status: u16,
    found: OpenFile,
    keep: bool,
) -> io::Result<()> {
    let OpenFile { path, mut file, metadata } = found;
    // In a slug a file's time is made from its content, so this changes with it.
    let tag = format!("\"{:x}-{:x}\"", metadata.mtime(), metadata.len());
    if status == 200
        && request.if_none_match.as_ref().is_some_and(|known| known == "*" || known.contains(&tag))
    {
        let fields = with_fields(&[("ETag", &tag)], request, rules);
        return head(to, 304, &fields, None, keep);
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
    let own = [("Content-Type", media_type::of(&path)), ("ETag", &tag), ("Accept-Ranges", "bytes")];
    let fields = with_fields(&own, request, rules) + &part;
    let length = bytes.end - bytes.start;
    head(to, status, &fields, Some(length), keep)?;
    if request.method == "HEAD" {
        return Ok(());
    }
    file.seek(SeekFrom::Start(bytes.start))?;
    let sent = io::copy(&mut file.take(length), to)?;
    if sent == length { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// Lines of header fields: the server's own, unless the rules set others.
fn with_fields(own: &[(&str, &str)], request: &Request, rules: &StaticRules) -> String {
    let set = rules.fields(&decode(&request.path).unwrap_or_default());
    let own = own.iter().filter(|(name, _)| !set.contains_key(&name.to_ascii_lowercase()));
    own.chain(set.values()).map(|(name, value)| format!("{name}: {value}\r\n")).collect()
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
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
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

        assert!(matches!(find(&root, "/docs/"), Resource::File(_)));
        assert!(matches!(find(&root, "//docs"), Resource::Folder { location } if location == "/docs/"));
        for hidden in ["/link", "/.git/config", "/Procfile", "/docs/none", "/"] {
            assert!(matches!(find(&root, hidden), Resource::Nothing), "{hidden}");
        }
        for bad in ["/../secret", "/docs/%2e%2e/%2e%2e/secret", "/a%00", "/%zz"] {
            assert!(matches!(find(&root, bad), Resource::Malformed), "{bad}");
        }
    }
}
