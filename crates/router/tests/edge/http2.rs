//! HTTP/2 on its way to apps that know HTTP/1.1 only: what would become another request there is refused, and
//! floods are bounded (RFC 9113 sections 5, 6, 8, 10.5).

use std::sync::Arc;

use rustls::ClientConfig;

use crate::app::{App, header};
use crate::echo::{echo, world_of};
use crate::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, Http2, MAX_CONCURRENT_STREAMS, Outcome, PING,
    RST_STREAM, SETTINGS, block, http2_of,
};
use crate::world::World;

type Field = (&'static str, &'static str);

const METHOD: Field = (":method", "GET");
const SCHEME: Field = (":scheme", "https");
const AUTHORITY: Field = (":authority", "echo.test");
const PATH: Field = (":path", "/");
const PLAIN: [Field; 4] = [METHOD, SCHEME, AUTHORITY, PATH];

const PROTOCOL_ERROR: u32 = 1;
const REFUSED_STREAM: u32 = 7;
const ENHANCE_YOUR_CALM: u32 = 11;

fn with(more: &[Field]) -> Vec<Field> {
    [&PLAIN[..], more].concat()
}

fn world() -> (App, World, Arc<ClientConfig>) {
    let app = echo();
    let world = world_of(&app);
    let config = http2_of(&world);
    (app, world, config)
}

/// Neither an answer of the app nor a request that it saw.
fn assert_refused(fields: &[Field]) {
    thread_local! {
        static WORLD: (App, World, Arc<ClientConfig>) = world();
    }
    WORLD.with(|(app, world, config)| {
        let before = app.count();
        let outcome = Http2::connect(world, config).ask(1, fields);

        assert!(!matches!(outcome, Outcome::Status(200)), "{fields:?}: {outcome:?}");
        assert_eq!(app.count(), before, "{fields:?}");
    });
}

#[test]
fn pseudo_headers_are_all_there_once_and_before_the_others() {
    for left_out in [":method", ":path", ":scheme"] {
        let fields: Vec<_> = PLAIN.into_iter().filter(|(name, _)| *name != left_out).collect();
        assert_refused(&fields);
    }
    for twice in PLAIN {
        assert_refused(&with(&[twice]));
    }
    assert_refused(&with(&[("x-a", "b"), (":path", "/other")]));
    assert_refused(&[METHOD, SCHEME, AUTHORITY, ("x-a", "b"), PATH]);
    assert_refused(&[METHOD, SCHEME, AUTHORITY, PATH, (":status", "200")]);
    assert_refused(&[METHOD, SCHEME, AUTHORITY, PATH, (":unknown", "x")]);
    assert_refused(&[METHOD, SCHEME, AUTHORITY, (":path", "")]);
    assert_refused(&[METHOD, SCHEME, PATH]);
}

#[test]
fn headers_of_one_connection_have_no_place_in_http2() {
    for field in [
        ("connection", "close"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "websocket"),
        ("te", "gzip"),
    ] {
        assert_refused(&with(&[field]));
    }
    let (_app, world, config) = world();
    assert_eq!(Http2::connect(&world, &config).ask(1, &with(&[("te", "trailers")])), Outcome::Status(200));
}

#[test]
fn nothing_in_a_field_can_become_another_line_of_http1() {
    for field in [
        ("x-a", "b\r\nx-b: c"),
        ("x-a", "b\nx-b: c"),
        ("x-a", "b\rx-b: c"),
        ("x-a", "b\0c"),
        ("x-a\r\nx-b", "c"),
        ("x-a: b\r\nx-b", "c"),
        ("x a", "b"),
        ("x:a", "b"),
        ("X-A", "b"),
        ("", "b"),
    ] {
        assert_refused(&with(&[field]));
    }
    for path in ["/ HTTP/1.1\r\nHost: evil.test\r\nX: ", "/a b", "/a\r\nb", "/a\0b", "/a\tb", "/\u{7f}"] {
        assert_refused(&[METHOD, SCHEME, AUTHORITY, (":path", path)]);
    }
    for method in ["GET / HTTP/1.1\r\nX: ", "GE T", "GET\r\n", "GET\0", ""] {
        assert_refused(&[(":method", method), SCHEME, AUTHORITY, PATH]);
    }
    for authority in
        ["echo.test\r\nx-a: b", "evil@echo.test", "echo.test, evil.test", "echo.test/x", "echo.test x", ""]
    {
        assert_refused(&[METHOD, SCHEME, (":authority", authority), PATH]);
    }
}

#[test]
fn authority_and_host_must_mean_the_same() {
    assert_refused(&with(&[("host", "evil.test")]));
    assert_refused(&with(&[("host", "a b")]));
    assert_refused(&with(&[("host", "echo.test"), ("host", "echo.test")]));
    let (_app, world, config) = world();
    for fields in [with(&[("host", "echo.test")]), vec![METHOD, SCHEME, PATH, ("host", "echo.test")]] {
        let mut visitor = Http2::connect(&world, &config);

        assert_eq!(visitor.ask(1, &fields), Outcome::Status(200), "{fields:?}");
        let seen = visitor.body(1);
        assert_eq!(seen.matches("host: ").count(), 1, "{seen}");
        assert_eq!(header(&seen, "host"), Some("echo.test"));
    }
}

#[test]
fn targets_of_http2_are_paths() {
    for path in ["http://evil.test/", "echo.test", "evil.test:80/x", "?a", "*"] {
        assert_refused(&[METHOD, SCHEME, AUTHORITY, (":path", path)]);
    }
    let (_app, world, config) = world();
    let mut visitor = Http2::connect(&world, &config);
    for (stream, path) in [(1, "/a?b"), (3, "//evil.test/x"), (5, "/%0d%0a")] {
        assert_eq!(visitor.ask(stream, &[METHOD, SCHEME, AUTHORITY, (":path", path)]), Outcome::Status(200));
        let seen = visitor.body(stream);
        assert!(seen.starts_with(&format!("GET {path} HTTP/1.1\r\n")), "{seen}");
    }
}

#[test]
fn nobody_tunnels_through_http2() {
    for fields in [
        vec![(":method", "CONNECT"), (":authority", "echo.test:80")],
        vec![(":method", "CONNECT"), SCHEME, AUTHORITY, PATH],
        vec![(":method", "CONNECT"), (":protocol", "websocket"), SCHEME, AUTHORITY, PATH],
    ] {
        assert_refused(&fields);
    }
}

const POST: [Field; 4] = [(":method", "POST"), SCHEME, AUTHORITY, PATH];

#[test]
fn a_length_that_is_not_that_of_the_data_never_becomes_a_request_of_http1() {
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: echo.test\r\n\r\n";
    let (app, world, config) = world();
    for (length, data) in [
        ("0", smuggled),
        ("3", smuggled),
        ("1000", "hello"),
        ("+5", "hello"),
        ("5, 5", "hello"),
        ("x", "hello"),
    ] {
        let mut visitor = Http2::connect(&world, &config);
        visitor.send(HEADERS, END_HEADERS, 1, &block(&[&POST[..], &[("content-length", length)]].concat()));
        visitor.send(DATA, END_STREAM, 1, data.as_bytes());

        let outcome = visitor.outcome(1);

        assert!(!matches!(outcome, Outcome::Status(200)), "{length}: {outcome:?}");
        // Whatever connection to the app is used next, nothing is left in it.
        let mut next = Http2::connect(&world, &config);
        assert_eq!(next.ask(1, &PLAIN), Outcome::Status(200));
        assert!(next.body(1).starts_with("GET / HTTP/1.1\r\n"), "{length}");
    }
    for lengths in [["5", "6"], ["5", "5"]] {
        let mut visitor = Http2::connect(&world, &config);
        let fields = [&POST[..], &lengths.map(|length| ("content-length", length))].concat();
        visitor.send(HEADERS, END_HEADERS, 1, &block(&fields));
        visitor.send(DATA, END_STREAM, 1, b"hello");
        let outcome = visitor.outcome(1);
        let mut is_once = || visitor.body(1).matches("content-length: 5").count() == 1;
        assert!(outcome != Outcome::Status(200) || lengths[0] == lengths[1] && is_once(), "{lengths:?}");
    }
    let mut ended = Http2::connect(&world, &config);
    let outcome = ended.ask(1, &[&POST[..], &[("content-length", "5")]].concat());
    assert!(outcome != Outcome::Status(200), "{outcome:?}");
    assert!(app.count() > 0);
}

#[test]
fn a_body_of_http2_reaches_the_app_in_one_clear_framing() {
    let (_app, world, config) = world();
    for more in [vec![], vec![("content-length", "5")]] {
        let mut visitor = Http2::connect(&world, &config);
        visitor.send(HEADERS, END_HEADERS, 1, &block(&[&POST[..], &more].concat()));
        visitor.send(DATA, 0, 1, b"he");
        visitor.send(DATA, END_STREAM, 1, b"llo");

        assert_eq!(visitor.outcome(1), Outcome::Status(200));
        let seen = visitor.body(1);
        assert!(seen.ends_with("\r\n\r\nhello"), "{seen}");
        let framings = ["content-length", "transfer-encoding"].map(|name| header(&seen, name).is_some());
        assert_eq!(framings, [!more.is_empty(), more.is_empty()], "{seen}");
    }
}

#[test]
fn trailers_of_http2_never_become_headers_or_requests() {
    let (app, world, config) = world();
    let mut visitor = Http2::connect(&world, &config);
    visitor.send(HEADERS, END_HEADERS, 1, &block(&POST));
    visitor.send(DATA, 0, 1, b"hello");
    visitor.send(HEADERS, END_HEADERS | END_STREAM, 1, &block(&[("x-sum", "1"), ("host", "evil.test")]));

    assert_eq!(visitor.outcome(1), Outcome::Status(200));
    let seen = visitor.body(1);
    assert!(seen.ends_with("\r\n\r\nhello") && !seen.contains("x-sum") && !seen.contains("evil"), "{seen}");

    let mut odd = Http2::connect(&world, &config);
    odd.send(HEADERS, END_HEADERS, 1, &block(&POST));
    odd.send(HEADERS, END_HEADERS | END_STREAM, 1, &block(&[(":path", "/smuggled")]));
    let is_answered = odd.outcome(1) == Outcome::Status(200);
    assert!(!is_answered || odd.body(1).starts_with("POST / HTTP/1.1\r\n"));
    assert_eq!(app.count(), 2 - u64::from(!is_answered));
}

#[test]
fn heads_of_http2_have_the_same_bounds() {
    let (app, world, config) = world();
    let long = "b".repeat(10_000);
    let names: Vec<_> = (0..200).map(|number| format!("x-{number}")).collect();
    let large: Vec<_> = (0..9).map(|_| ("x-a", long.as_str())).collect();
    let many: Vec<_> = names.iter().map(|name| (name.as_str(), "b")).collect();
    for fields in [large, many] {
        let mut visitor = Http2::connect(&world, &config);
        let block = block(&[&PLAIN[..], &fields].concat());
        let mut parts = block.chunks(16_384).peekable();
        let first = parts.next().expect("it is not empty");
        let end = |is_last: bool| if is_last { END_HEADERS } else { 0 };
        visitor.send(HEADERS, END_STREAM | end(parts.peek().is_none()), 1, first);
        while let Some(part) = parts.next() {
            visitor.send(CONTINUATION, end(parts.peek().is_none()), 1, part);
        }

        let outcome = visitor.outcome(1);

        assert!(!matches!(outcome, Outcome::Status(200)), "{outcome:?}");
    }
    assert_eq!(app.count(), 0);
}

#[test]
fn a_head_that_never_ends_is_given_up() {
    let (app, world, config) = world();
    let mut visitor = Http2::connect(&world, &config);
    visitor.send(HEADERS, END_STREAM, 1, &block(&PLAIN));
    let more = block(&[("x-a", "b".repeat(1_000).as_str())]);

    let taken = (0..10_000).take_while(|_| visitor.send(CONTINUATION, 0, 1, &more)).count();

    let outcome = visitor.outcome(1);
    assert!(
        matches!(outcome, Outcome::Gone(ENHANCE_YOUR_CALM | PROTOCOL_ERROR) | Outcome::Closed),
        "{outcome:?}"
    );
    assert!(taken < 10_000, "ten megabytes of one head were taken");
    assert_eq!(app.count(), 0);
}

#[test]
fn as_many_streams_as_were_told_and_no_more_are_served_at_once() {
    let (release, wait) = std::sync::mpsc::channel::<()>();
    let wait = Arc::new(std::sync::Mutex::new(wait));
    let app = App::start("echo", move |request| {
        let _ = wait.lock().expect("not poisoned").recv();
        request.answer("done");
        true
    });
    let world = world_of(&app);
    let config = http2_of(&world);
    let mut visitor = Http2::connect(&world, &config);
    let settings = visitor.read().expect("settings come first");
    assert_eq!(settings.kind, SETTINGS);
    let told = settings.payload.chunks(6).find(|entry| entry[..2] == MAX_CONCURRENT_STREAMS.to_be_bytes());
    let told =
        told.map(|entry| u32::from_be_bytes([entry[2], entry[3], entry[4], entry[5]])).expect("a bound");
    assert_eq!(told, 128);

    for number in 0..=told {
        visitor.send(HEADERS, END_HEADERS | END_STREAM, 1 + 2 * number, &block(&PLAIN));
    }

    assert_eq!(visitor.outcome(1 + 2 * told), Outcome::Reset(REFUSED_STREAM));
    drop(release);
    assert!(app.count() <= 128);
}

#[test]
fn requests_taken_back_at_once_end_the_connection() {
    let (app, world, config) = world();
    let mut visitor = Http2::connect(&world, &config);
    let head = block(&PLAIN);

    // RFC 9113 section 10.5, CVE-2023-44487.
    let asked = (0..20_000u32).take_while(|number| {
        let stream = 1 + 2 * number;
        visitor.send(HEADERS, END_HEADERS | END_STREAM, stream, &head)
            && visitor.send(RST_STREAM, 0, stream, &8u32.to_be_bytes())
    });
    let asked = asked.count();

    let outcome = visitor.outcome(u32::MAX);
    assert!(matches!(outcome, Outcome::Gone(ENHANCE_YOUR_CALM) | Outcome::Closed), "{outcome:?}");
    assert!(asked < 20_000 && app.count() < 20_000, "{asked} requests were taken, {} arrived", app.count());
    let mut next = Http2::connect(&world, &config);
    assert_eq!(next.ask(1, &PLAIN), Outcome::Status(200));
}

#[test]
fn pings_and_settings_without_end_hold_up_nobody_else() {
    let (_app, world, config) = world();
    let mut flooding = Http2::connect(&world, &config);
    for number in 0..5_000u64 {
        if !flooding.send(PING, 0, 0, &number.to_be_bytes()) || !flooding.send(SETTINGS, 0, 0, &[]) {
            break;
        }
    }

    assert_eq!(Http2::connect(&world, &config).ask(1, &PLAIN), Outcome::Status(200));
}
