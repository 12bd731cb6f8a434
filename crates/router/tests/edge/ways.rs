//! The fast path and the slow one beside each other: whatever comes, visitors and apps must see the same.
//!
//! Requests and answers are put together by chance, well formed and damaged, and sent in pieces cut anywhere. The seed
//! is fixed; `WAYS_CASES` asks for more cases than the few hundred of every day.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex};

use crate::app::{App, header};
use crate::echo::body_of;
use crate::visitor::tcp;
use crate::world::{World, route};

const CASES: u64 = 400;
/// Repetitions of a case whose outcomes differ.
const AGAIN: usize = 4;

const LINES: [&str; 16] = [
    "GET /@ HTTP/1.1",
    "GET /@?b=%20c HTTP/1.1",
    "GET /@ HTTP/1.1",
    "GET /@ HTTP/1.0",
    "HEAD /@ HTTP/1.1",
    "POST /@ HTTP/1.1",
    "PUT /@ HTTP/1.1",
    "DELETE /@ HTTP/1.1",
    "OPTIONS /@ HTTP/1.1",
    "OPTIONS * HTTP/1.1",
    "PATCH /@#part HTTP/1.1",
    "PROPFIND /@ HTTP/1.1",
    "GET http://echo.test/@ HTTP/1.1",
    "GET //@ HTTP/1.1",
    "CONNECT echo.test:80 HTTP/1.1",
    "GET /@ HTTP/2.0",
];

const HEADERS: [&str; 24] = [
    "Accept: */*",
    "Accept-Encoding: br",
    "Connection: close",
    "Connection: keep-alive",
    "Connection: X-A, close",
    "Connection: upgrade",
    "Upgrade: websocket",
    "Cookie: a=1",
    "Cookie: b=2",
    "Expect: 100-continue",
    "Host: echo.test",
    "Host: other.test",
    "Keep-Alive: timeout=5",
    "Proxy-Connection: keep-alive",
    "TE: trailers",
    "X-A:  padded \t",
    "X-A: ",
    "x-FORWARDED-for: 6.6.6.6",
    "X-Forwarded-Proto: https",
    "X-Request-Start: t=1",
    "X A: b",
    "X-A : b",
    "Content-Length: 2",
    "Transfer-Encoding: gzip, chunked",
];

/// Framing of a body, and the body.
const BODIES: [(&str, &str); 10] = [
    ("", ""),
    ("", ""),
    ("", ""),
    ("Content-Length: 0\r\n", ""),
    ("Content-Length: 5\r\n", "hello"),
    ("Content-Length: 5\r\n", "hello"),
    ("Content-Length: 5\r\n", "hel"),
    ("Content-Length: +5\r\n", "hello"),
    ("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"),
    ("Transfer-Encoding: chunked\r\n", "5\r\nhelloX\r\n0\r\n\r\n"),
];

/// Response of the app, by the number in the path, and whether it keeps the connection.
const ANSWERS: [(&str, bool); 36] = [
    ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", true),
    ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi", true),
    (
        "HTTP/1.1 200 Fine\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\nhi\r\n4\r\n you\r\n0\r\nX: y\r\n\r\n",
        false,
    ),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 7\r\n\r\n2\r\nhi\r\n0\r\n\r\n", true),
    ("HTTP/1.1 200 OK\r\n\r\nuntil the end", false),
    ("HTTP/1.0 200 OK\r\n\r\nuntil the end", false),
    ("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", false),
    ("HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n", true),
    ("HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\nContent-Length: 9\r\n\r\n", true),
    (
        "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: X-A\r\nX-A: b\r\nKeep-Alive: 5\r\n\r\n",
        true,
    ),
    (
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        true,
    ),
    (
        "HTTP/1.1 299 Odd reason\r\nDate: now\r\nServer: x\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 2\r\n\r\nhi",
        true,
    ),
    ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", false),
    ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhi", false),
    ("HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nhi", false),
    ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ncut", false),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\ncut", false),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZ\r\nhi\r\n", false),
    ("HTTP/1.1 200 OK\r\nX-A: b\rc\r\nContent-Length: 2\r\n\r\nhi", false),
    ("hello\r\n\r\n", false),
    ("HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nhi", false),
    ("HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nhi", false),
    ("HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nhi", false),
    ("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nhi", false),
    ("HTTP/1.1 200 OK\r\nContent-Length: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", false),
    ("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", true),
    ("HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nhi", false),
    ("HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", false),
    ("HTTP/1.1 205 Reset Content\r\nContent-Length: 2\r\n\r\nhi", false),
    ("HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\nhi", false),
    ("HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n", false),
    ("HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\nContent-Length: 2\r\n\r\nhi", false),
    ("HTTP/1.1 200 OK\r\nX-A : b\r\nContent-Length: 2\r\n\r\nhi", false),
    ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", false),
    ("HTTP/1.1 99 Odd\r\nContent-Length: 2\r\n\r\nhi", false),
    ("HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", false),
];

/// Chance that can be had again (splitmix64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }

    fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

fn request(chance: &mut Chance) -> Vec<u8> {
    let line = chance.one_of(&LINES);
    let answer = chance.below(ANSWERS.len());
    let mut text = line.replace('@', &answer.to_string()) + "\r\n";
    if chance.below(20) > 0 {
        text += "Host: echo.test\r\n";
    }
    for _ in 0..chance.below(4) {
        text += chance.one_of::<&str>(&HEADERS);
        text += "\r\n";
    }
    let (told, body) = chance.one_of(&BODIES);
    let mut bytes = format!("{text}{told}\r\n{body}").into_bytes();
    if chance.below(4) == 0 {
        let at = chance.below(bytes.len());
        match chance.below(3) {
            0 => bytes[at] = *chance.one_of(b"\r\n\t :;,/a0\0\x7f"),
            1 => drop(bytes.remove(at)),
            _ => bytes.insert(at, *chance.one_of(b"\r\n\t :;,/a0\0\x7f")),
        }
    }
    bytes
}

/// An app that answers as the path says, and what it was asked.
fn app() -> (App, Arc<Mutex<Vec<String>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&seen);
    let app = App::start("echo", move |request| {
        let Some(body) = body_of(request) else { return false };
        let mut lines: Vec<_> = request.head.trim_end().lines().collect();
        lines[1..].sort_unstable();
        notes.lock().expect("not poisoned").push(format!("{}\n\n{body}", lines.join("\n")));
        let path = request.head.split(' ').nth(1).unwrap_or_default();
        let number = path.trim_start_matches('/').split(|it: char| !it.is_ascii_digit()).next();
        let number: usize = number.and_then(|number| number.parse().ok()).unwrap_or_default();
        let (answer, stays) = ANSWERS[number % ANSWERS.len()];
        request.send(answer);
        let has_body = !answer.ends_with("\r\n\r\n");
        // A body that nobody waits for would stand before the next answer.
        stays && !(has_body && request.head.starts_with("HEAD"))
    });
    (app, seen)
}

struct Way {
    world: World,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Way {
    fn start(is_fast: bool) -> Self {
        let world = World::start_with(|settings| {
            (settings.fast_path, settings.public_port) = (is_fast, Some(80));
            settings.workers = 1;
        });
        let (app, seen) = app();
        let mut route = route("echo", &[&app]);
        route.rules.access_log = Some(true);
        world.serve(vec![route]);
        Self { world, seen }
    }

    /// Responses that the client gets, and requests that the app gets.
    fn outcome(&self, pieces: &[&[u8]]) -> (Vec<String>, Vec<String>) {
        let mut stream = tcp(self.world.address);
        stream.set_nodelay(true).expect("a socket");
        for piece in pieces {
            // It may have been refused already.
            let _ = stream.write_all(piece);
        }
        let is_head = pieces[0].starts_with(b"HEAD");
        let mut bytes = Vec::new();
        // A client that ends its half early has left; one whose body is incomplete must do so.
        if is_whole(&pieces.concat()) {
            read_answer(&mut stream, is_head, &mut bytes);
        }
        let _ = stream.shutdown(Shutdown::Write);
        let _ = stream.read_to_end(&mut bytes);
        let mut asked = std::mem::take(&mut *self.seen.lock().expect("not poisoned"));
        // A connection that was open before, which chance decides, is a reason to ask again.
        asked.dedup();
        (answers(&String::from_utf8(bytes).expect("UTF-8"), is_head), asked)
    }
}

/// Returns true if the router has everything that the request's head announces, or enough to refuse it.
fn is_whole(bytes: &[u8]) -> bool {
    // A bare LF ends a line, too.
    let text = String::from_utf8_lossy(bytes).replace("\r\n", "\n");
    let Some((head, body)) = text.split_once("\n\n") else { return false };
    let lengths = head.lines().filter_map(|line| line.split_once(':'));
    let mut lengths = lengths.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length = lengths.next().and_then(|(_, value)| value.trim().parse().ok()).unwrap_or(0);
    let is_chunked = head.to_ascii_lowercase().contains("chunked");
    if is_chunked { body.ends_with("\n\n") } else { body.len() >= length || lengths.next().is_some() }
}

/// Reads until an answer is whole or the connection has ended.
fn read_answer(stream: &mut TcpStream, is_head: bool, bytes: &mut Vec<u8>) {
    let mut piece = [0; 4_096];
    loop {
        let text = String::from_utf8(bytes.clone()).expect("UTF-8");
        let last = answers(&text, is_head).pop().unwrap_or_default();
        let is_interim = last.starts_with("HTTP/1.1 1");
        let ends_with_connection =
            !["content-length", "transfer-encoding", " 204 ", " 304 "].iter().any(|it| last.contains(it));
        if last != "cut" && !is_interim && (is_head || !ends_with_connection) {
            return;
        }
        match stream.read(&mut piece) {
            Ok(count @ 1..) => bytes.extend(&piece[..count]),
            Ok(_) | Err(_) => return,
        }
    }
}

/// The answers that came, each with its lines in order and its body as a whole; `cut` for what is missing.
fn answers(mut text: &str, is_head: bool) -> Vec<String> {
    let mut answers = Vec::new();
    while !text.is_empty() {
        let Some((head, rest)) = text.split_once("\r\n\r\n") else {
            answers.push("cut".to_owned());
            break;
        };
        let mut lines: Vec<_> = head.lines().filter(|line| !line.starts_with("date: ")).collect();
        if head.starts_with("HTTP/1.0 ") {
            // It goes without saying.
            lines.retain(|line| *line != "connection: close");
        }
        lines[1..].sort_unstable();
        let Some((body, rest)) = body(head, rest, is_head) else {
            answers.push("cut".to_owned());
            break;
        };
        answers.push(format!("{}\n\n{body}", lines.join("\n")));
        text = rest;
    }
    // hyper may or may not send a head before it finds the body damaged.
    if answers.is_empty() {
        answers.push("cut".to_owned());
    }
    answers
}

fn body<'a>(head: &str, rest: &'a str, is_head: bool) -> Option<(String, &'a str)> {
    let status = head.split(' ').nth(1).unwrap_or_default();
    if is_head || status.starts_with('1') || ["204", "304"].contains(&status) {
        return Some((String::new(), rest));
    }
    if header(head, "transfer-encoding").is_some() {
        let (mut body, mut rest) = (String::new(), rest);
        loop {
            let (size, after) = rest.split_once("\r\n")?;
            let size = usize::from_str_radix(size, 16).expect("the router's own size");
            body += after.get(..size)?;
            rest = after.get(size + 2..)?;
            if size == 0 {
                return Some((body, rest));
            }
        }
    }
    match header(head, "content-length") {
        Some(length) => {
            let length: usize = length.parse().expect("a number");
            Some((rest.get(..length)?.to_owned(), &rest[length..]))
        }
        None => Some((rest.to_owned(), "")),
    }
}

#[test]
fn both_ways_say_the_same_to_visitors_and_apps() {
    let (fast, slow) = (Way::start(true), Way::start(false));
    let cases = std::env::var("WAYS_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(CASES);
    for case in 0..cases {
        let mut chance = Chance(case);
        let bytes = request(&mut chance);
        let cut = 1 + chance.below(bytes.len() - 1);
        let pieces: &[&[u8]] = if chance.below(2) == 0 { &[&bytes] } else { &[&bytes[..cut], &bytes[cut..]] };

        // A connection that is closed with bytes unread may lose what was written last: what differs once is asked again.
        let both = || (fast.outcome(pieces), slow.outcome(pieces));
        let same = (0..AGAIN).map(|_| both()).find(|(by_fast, by_slow)| by_fast == by_slow);

        let (by_fast, by_slow) = same.unwrap_or_else(both);
        assert_eq!(by_fast, by_slow, "case {case}: {:?}", String::from_utf8_lossy(&bytes));
    }
}

/// A line of the log without the time that the request took, which differs.
fn without_time(line: &str) -> String {
    let (before, after) = line.split_once(" service=").expect("it took some time");
    format!("{before} {}", after.split_once(' ').expect("a status behind it").1)
}

#[test]
fn both_ways_say_the_same_in_the_log_of_the_app() {
    let requests: Vec<String> = (0..ANSWERS.len())
        .flat_map(|answer| {
            ["GET", "HEAD"].map(|method| {
                format!("{method} /{answer}?a=b HTTP/1.1\r\nHost: echo.test\r\nConnection: close\r\n\r\n")
            })
        })
        .collect();

    let [fast, slow] = [true, false].map(|is_fast| {
        let way = Way::start(is_fast);
        for request in &requests {
            let mut stream = tcp(way.world.address);
            stream.write_all(request.as_bytes()).expect("it is read");
            let _ = stream.read_to_end(&mut Vec::new());
        }
        let mut lines: Vec<_> =
            way.world.log("echo", requests.len()).iter().map(|line| without_time(line)).collect();
        lines.sort();
        let path = if is_fast { "fast" } else { "slow" };
        way.world.wait_for_metric(&format!("path_requests_total{{path=\"{path}\"}} {}", requests.len()));
        lines
    });

    assert_eq!((fast.len(), slow.len()), (requests.len(), requests.len()));
    for (by_fast, by_slow) in fast.iter().zip(&slow) {
        assert_eq!(by_fast, by_slow);
    }
}
