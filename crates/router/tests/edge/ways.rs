//! The short way and the long one beside each other: whatever comes, visitors and apps must see the same.
//!
//! Requests and answers are put together by chance, well formed and damaged, and sent in pieces cut anywhere. The seed
//! is fixed; `WAYS_CASES` asks for more cases than the few hundred of every day.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::sync::{Arc, Mutex};

use crate::app::{App, header};
use crate::echo::body_of;
use crate::visitor::tcp;
use crate::world::{World, route};

const CASES: u64 = 400;
/// How often a case is asked whose outcomes differ.
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

/// How the body is told, and the body.
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

/// What the app says, by the number in the path, and whether it stays.
const ANSWERS: [(&str, bool); 20] = [
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
    let answer = match chance.below(ANSWERS.len()) {
        // To HEAD, hyper takes from an app two lengths, or one that is none, and hangs up without a word or passes it
        // on; the short way says 502.
        1 | 13 | 14 if line.starts_with("HEAD") => 0,
        answer => answer,
    };
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
    fn start(is_short: bool) -> Self {
        let world = World::start_with(|settings| {
            (settings.short_way, settings.public_port) = (is_short, Some(80));
            settings.workers = 1;
        });
        let (app, seen) = app();
        world.serve(vec![route("echo", &[&app])]);
        Self { world, seen }
    }

    /// What the visitor sees, and what the app does.
    fn outcome(&self, pieces: &[&[u8]]) -> (Vec<String>, Vec<String>) {
        let mut stream = tcp(self.world.address);
        stream.set_nodelay(true).expect("a socket");
        for piece in pieces {
            // It may have been refused already.
            let _ = stream.write_all(piece);
        }
        let _ = stream.shutdown(Shutdown::Write);
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        let mut asked = std::mem::take(&mut *self.seen.lock().expect("not poisoned"));
        // A connection that was open before, which chance decides, is a reason to ask again.
        asked.dedup();
        (answers(&String::from_utf8(bytes).expect("UTF-8"), pieces[0].starts_with(b"HEAD")), asked)
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
    // Whether a head goes out before its body turns out damaged is hyper's whim.
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
    let (short, long) = (Way::start(true), Way::start(false));
    let cases = std::env::var("WAYS_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(CASES);
    for case in 0..cases {
        let mut chance = Chance(case);
        let bytes = request(&mut chance);
        let cut = 1 + chance.below(bytes.len() - 1);
        let pieces: &[&[u8]] = if chance.below(2) == 0 { &[&bytes] } else { &[&bytes[..cut], &bytes[cut..]] };

        // A connection that is closed with bytes unread may lose what was written last: what differs once is asked again.
        let both = || (short.outcome(pieces), long.outcome(pieces));
        let same = (0..AGAIN).map(|_| both()).find(|(by_short, by_long)| by_short == by_long);

        let (by_short, by_long) = same.unwrap_or_else(both);
        assert_eq!(by_short, by_long, "case {case}: {:?}", String::from_utf8_lossy(&bytes));
    }
}
