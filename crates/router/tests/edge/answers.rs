//! Answers on their way back: compression.

use std::io::Read as _;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};

use flate2::read::GzDecoder;

use crate::app::{App, header};
use crate::visitor::Visitor;
use crate::world::{World, route};

const TEXT: &str = "All work and no play makes Jack a dull boy. ";

/// Answers with a text of 4,400 bytes under these headers.
fn texts(headers: &'static str) -> App {
    App::start("text", move |request| {
        let body = TEXT.repeat(100);
        request.send(&format!("HTTP/1.1 200 OK\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len()));
        true
    })
}

/// Head of the answer to a visitor who takes gzip, and the body as it came, without its chunks.
fn asked(world: &World, more: &str) -> (String, Vec<u8>) {
    let mut visitor = Visitor::connect(world);
    visitor.send(&format!("GET / HTTP/1.1\r\nHost: text.test\r\nConnection: close\r\n{more}\r\n"));
    let head = visitor.head();
    let is_chunked = header(&head, "transfer-encoding") == Some("chunked");
    let mut body = Vec::new();
    if is_chunked {
        loop {
            let size = usize::from_str_radix(visitor.line().trim(), 16).expect("a size");
            if size == 0 {
                return (head, body);
            }
            body.extend(visitor.bytes(size));
            visitor.line();
        }
    }
    let length = header(&head, "content-length").map_or(0, |length| length.parse().expect("a number"));
    (head, visitor.bytes(length))
}

const GZIP: &str = "Accept-Encoding: br, gzip\r\n";

#[test]
fn a_text_is_compressed_for_those_who_take_it() {
    let world = World::start();
    let app = texts("Content-Type: text/html; charset=utf-8\r\nETag: \"1\"\r\n");
    world.serve(vec![route("text", &[&app])]);

    let (head, body) = asked(&world, GZIP);
    let mut text = String::new();
    GzDecoder::new(&body[..]).read_to_string(&mut text).expect("gzip");

    assert_eq!(text, TEXT.repeat(100));
    assert_eq!(header(&head, "content-encoding"), Some("gzip"));
    assert_eq!((header(&head, "vary"), header(&head, "etag")), (Some("Accept-Encoding"), Some("W/\"1\"")));
    let (head, body) = asked(&world, "");
    assert_eq!((header(&head, "content-encoding"), body.len()), (None, 4_400));
    assert_eq!(header(&head, "vary"), Some("Accept-Encoding"), "caches must keep both apart");
}

#[test]
fn zstd_is_used_where_it_is_as_welcome_as_gzip_and_wanted() {
    let world = World::start();
    let app = texts("Content-Type: text/html\r\n");
    world.serve(vec![route("text", &[&app])]);
    let coding = |accept: &str| {
        let (head, body) = asked(&world, &format!("Accept-Encoding: {accept}\r\n"));
        (header(&head, "content-encoding").map(str::to_owned), body)
    };

    let (name, body) = coding("gzip, br, zstd");

    assert_eq!(name.as_deref(), Some("zstd"));
    let text = zstd::decode_all(&body[..]).expect("zstd");
    assert_eq!(String::from_utf8(text).expect("UTF-8"), TEXT.repeat(100));
    assert_eq!(coding("gzip, zstd;q=0.5").0.as_deref(), Some("gzip"));
    let mut without = route("text", &[&app]);
    without.rules.zstd = Some(false);
    world.serve(vec![without]);
    assert_eq!(coding("gzip, zstd").0.as_deref(), Some("gzip"));
    assert_eq!(coding("zstd").0, None);
}

#[test]
fn what_is_compressed_small_or_of_another_kind_already_stays_as_it_is() {
    for headers in [
        "Content-Type: image/png\r\n",
        "Content-Type: text/html\r\nContent-Encoding: br\r\n",
        "Content-Type: text/html\r\nCache-Control: no-transform\r\n",
        "Content-Type: text/html\r\nContent-Range: bytes 0-4399/4400\r\n",
        "",
    ] {
        let world = World::start();
        let app = texts(headers);
        world.serve(vec![route("text", &[&app])]);
        assert_eq!(asked(&world, GZIP).1.len(), 4_400, "{headers}");
    }
}

#[test]
fn settings_of_router_and_app_decide_about_compression() {
    let world = World::start();
    let app = texts("Content-Type: text/plain\r\n");
    let is_compressed = || header(&asked(&world, GZIP).0, "content-encoding") == Some("gzip");
    let mut off = route("text", &[&app]);
    off.rules.gzip = Some(false);
    world.serve(vec![off]);
    assert!(!is_compressed());

    world.serve(vec![route("text", &[&app])]);
    assert!(is_compressed());
    world.tell(|rules| rules.gzip.bytes_min = 5_000);
    assert!(!is_compressed());
    world.tell(|rules| (rules.gzip.bytes_min, rules.gzip.types) = (0, vec!["text/css".to_owned()]));
    assert!(!is_compressed());
    world.tell(|rules| (rules.gzip.types, rules.gzip.vary) = (vec!["*".to_owned()], false));
    assert!(is_compressed());
    assert_eq!(header(&asked(&world, GZIP).0, "vary"), None);
    world.tell(|rules| rules.gzip.enabled = false);
    assert!(!is_compressed());
}

#[test]
fn a_compressed_stream_is_passed_on_as_it_comes() {
    streams(GZIP, |body, start| GzDecoder::new(body).read_exact(start).is_ok());
    streams("Accept-Encoding: zstd\r\n", |body, start| {
        zstd::Decoder::new(body).is_ok_and(|mut decoder| decoder.read_exact(start).is_ok())
    });
}

fn streams(accept: &str, decode: impl Fn(&[u8], &mut [u8]) -> bool) {
    let world = World::start();
    let (go_on, wait) = mpsc::channel::<()>();
    let wait = Arc::new(Mutex::new(wait));
    let app = App::start("text", move |request| {
        request.send("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n");
        request.send("5\r\nfirst\r\n");
        wait.lock().expect("not poisoned").recv().expect("the test says when");
        request.send("6\r\nsecond\r\n0\r\n\r\n");
        false
    });
    world.serve(vec![route("text", &[&app])]);
    let mut visitor = Visitor::connect(&world);

    visitor.send(&format!("GET / HTTP/1.1\r\nHost: text.test\r\n{accept}\r\n"));
    visitor.head();
    let mut body = Vec::new();
    let mut text = String::new();
    // As many chunks as it takes; the app waits for us to have read its first word.
    while text != "first" {
        let size = usize::from_str_radix(visitor.line().trim(), 16).expect("a size");
        body.extend(visitor.bytes(size));
        visitor.line();
        let mut start = [0; 5];
        if decode(&body, &mut start) {
            text = String::from_utf8_lossy(&start).into_owned();
        }
    }
    go_on.send(()).expect("the app waits");

    let size = usize::from_str_radix(visitor.line().trim(), 16).expect("a size");
    assert!(size > 0);
}
