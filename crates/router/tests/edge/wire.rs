//! HTTP/1.1 byte for byte: what is refused, and what of the rest reaches the app (docs/wire.md has the table).

use std::io::Read as _;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::app::{App, header};
use crate::echo::{HEAD, echo, said, world_of};
use crate::visitor::Visitor;
use crate::world::{World, route};

#[test]
fn heads_that_two_readers_could_read_differently_are_refused() {
    let app = echo();
    let world = world_of(&app);
    for (what, lines) in [
        ("two lengths", "Content-Length: 5\r\nContent-Length: 6\r\n"),
        ("a list of lengths", "Content-Length: 5, 6\r\n"),
        ("a length with a sign", "Content-Length: +5\r\n"),
        ("a length that is none", "Content-Length: five\r\n"),
        ("a coding that is not the last", "Transfer-Encoding: chunked, identity\r\n"),
        ("a coding that is unknown", "Transfer-Encoding: gzip, chunked\r\n"),
        ("a coding said twice", "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n"),
        ("a coding with a strange blank", "Transfer-Encoding: \u{b}chunked\r\n"),
        ("a blank before the colon", "Content-Length : 5\r\n"),
        ("a folded line", "X-A: b\r\n  c\r\n"),
        ("a bare CR", "X-A: b\rX-B: c\r\n"),
        ("a NUL", "X-A: b\0c\r\n"),
        ("a name that is none", "X A: b\r\n"),
        ("a line without a colon", "nothing\r\n"),
    ] {
        let answer = said(&world, &format!("{HEAD}{lines}\r\nhello"));
        let status = answer.split(' ').nth(1).unwrap_or_default();
        assert!(["400", "501"].contains(&status), "{what}: {answer}");
    }
    for line in
        ["GET /a b HTTP/1.1", "GET / HTTP/1.2x", "GET  / HTTP/1.1", "G@T / HTTP/1.1", "GET / HTTP/3.0"]
    {
        let answer = said(&world, &format!("{line}\r\nHost: echo.test\r\n\r\n"));
        assert!(answer.starts_with("HTTP/1.1 400") || answer.is_empty(), "{line}: {answer}");
    }
    assert_eq!(app.count(), 0);
}

#[test]
fn a_length_beside_chunks_is_dropped_and_nothing_behind_the_chunks_is_read() {
    let app = echo();
    let world = world_of(&app);
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: echo.test\r\n\r\n";
    for lines in [
        "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
    ] {
        let seen = app.count();

        let answer = said(&world, &format!("{HEAD}{lines}\r\n5\r\nhello\r\n0\r\n\r\n{smuggled}"));

        // RFC 9112 section 6.1: the connection is closed after the answer.
        assert!(answer.contains("\r\n\r\nhello") || answer.ends_with("hello"), "{answer}");
        assert!(!answer.to_ascii_lowercase().contains("content-length: 3"), "{answer}");
        assert!(!answer.contains("/smuggled"), "{answer}");
        assert_eq!(app.count(), seen + 1);
    }
}

#[test]
fn chunks_that_are_damaged_end_the_request() {
    for chunk in [
        "0x5\r\nhello",
        "5 5\r\nhello",
        "-5\r\nhello",
        "5\nhello",
        "fffffffffffffffff\r\nhello",
        "5\r\nhelloX",
        "5;a\nb\r\nhello",
        "\r\nhello",
    ] {
        let app = echo();
        let world = world_of(&app);

        let answer = said(&world, &format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n{chunk}\r\n0\r\n\r\n"));

        assert!(answer.starts_with("HTTP/1.1 400"), "{chunk:?}: {answer}");
    }
}

#[test]
fn a_whole_url_as_target_says_the_host_and_reaches_the_app_as_a_path() {
    let app = echo();
    let world = world_of(&app);

    let answer =
        said(&world, "GET http://echo.test/a?b HTTP/1.1\r\nHost: other.test\r\nConnection: close\r\n\r\n");

    assert!(answer.contains("\r\n\r\nGET /a?b HTTP/1.1\r\n"), "{answer}");
    assert!(answer.contains("host: echo.test\r\n") && !answer.contains("other.test"), "{answer}");
}

#[test]
fn requests_in_one_packet_are_answered_in_their_order() {
    let app = echo();
    let world = world_of(&app);

    let answer = said(
        &world,
        "GET /one HTTP/1.1\r\nHost: echo.test\r\n\r\nGET /two HTTP/1.1\r\nHost: echo.test\r\nConnection: close\r\n\r\n",
    );

    let (one, two) = (answer.find("GET /one"), answer.find("GET /two"));
    assert!(one.is_some() && one < two, "{answer}");
}

#[test]
fn a_visitor_who_asks_before_the_body_is_told_to_go_on_or_not() {
    let app = echo();
    let world = world_of(&app);
    let mut visitor = Visitor::connect(&world);
    visitor.send(&format!("{HEAD}Expect: 100-continue\r\nContent-Length: 5\r\n\r\n"));
    assert!(visitor.head().starts_with("HTTP/1.1 100 "));

    visitor.send("hello");

    let answer = visitor.answer();
    assert!(answer.body.ends_with("hello"), "{answer:?}");
    assert_eq!(header(&answer.body, "expect"), None);

    world.tell(|rules| rules.body_bytes_max = Some(3));
    let mut refused = Visitor::connect(&world);
    refused.send(&format!("{HEAD}Expect: 100-continue\r\nContent-Length: 5\r\n\r\n"));
    assert!(refused.head().starts_with("HTTP/1.1 413 "));
}

#[test]
fn an_answer_before_the_end_of_the_body_reaches_the_visitor() {
    let app = App::start("echo", |request| {
        request.stream.read_exact(&mut [0; 5]).expect("the body begins");
        request.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
        false
    });
    let world = world_of(&app);
    world.tell(|rules| rules.request_buffering = false);
    let mut visitor = Visitor::connect(&world);

    visitor.send(&format!("{HEAD}Content-Length: 1000000\r\n\r\nbegun"));

    let answer = visitor.answer();
    assert_eq!((answer.status, answer.body.as_str()), (403, "no"));
}

#[test]
fn answers_without_a_body_leave_the_connection_in_order() {
    let app = App::start("echo", |request| {
        let answer = match &request.head {
            head if head.starts_with("HEAD") => "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n",
            head if head.starts_with("GET /204") => "HTTP/1.1 204 No Content\r\n\r\n",
            head if head.starts_with("GET /304") => "HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\n\r\n",
            _ => "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlast",
        };
        request.send(answer);
        true
    });
    let world = world_of(&app);
    let mut visitor = Visitor::connect(&world);
    for line in ["HEAD /", "GET /204", "GET /304", "GET /"] {
        visitor.send(&format!("{line} HTTP/1.1\r\nHost: echo.test\r\n\r\n"));
    }

    let head = visitor.head();
    assert_eq!(header(&head, "content-length"), Some("1000"));
    assert!(visitor.head().starts_with("HTTP/1.1 204"));
    assert!(visitor.head().starts_with("HTTP/1.1 304"));
    assert_eq!(visitor.answer().body, "last");
}

#[test]
fn trailers_neither_break_the_framing_nor_become_headers() {
    let app = App::start("echo", |request| {
        request.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n");
        request.send("2\r\nhi\r\n0\r\nX-Sum: 1\r\n\r\n");
        true
    });
    let world = world_of(&app);

    for _ in 0..2 {
        let answer = said(&world, "GET / HTTP/1.1\r\nHost: echo.test\r\nConnection: close\r\n\r\n");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        assert_eq!(header(head, "x-sum"), None);
        assert!(body.starts_with("2\r\nhi\r\n0\r\n"), "{body}");
    }
}

#[test]
fn a_visitor_of_http_1_0_gets_no_chunks() {
    let app = App::start("echo", |request| {
        request.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n");
        true
    });
    let world = world_of(&app);

    let answer = said(&world, "GET / HTTP/1.0\r\nHost: echo.test\r\n\r\n");

    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    assert_eq!((header(head, "transfer-encoding"), body), (None, "hi"));
}

/// Asks an app that answers so, once on each way; gives the router of each.
fn ask_on_both_ways(answer: &str, request: &str, look: impl Fn(bool, &mut Visitor)) -> [World; 2] {
    let sent = answer.to_owned();
    let app = App::start("echo", move |request| {
        request.send(&sent);
        false
    });
    [true, false].map(|is_fast| {
        let world = World::start_with(|settings| settings.fast_path = is_fast);
        let mut told = route("echo", &[&app]);
        told.rules.access_log = Some(true);
        world.serve(vec![told]);
        let mut visitor = Visitor::connect(&world);
        visitor.send(request);
        look(is_fast, &mut visitor);
        world
    })
}

#[test]
fn an_app_that_breaks_the_rules_is_answered_for_in_the_same_words_on_both_ways() {
    let many: String = (0..101).map(|number| format!("X-{number}: v\r\n")).collect();
    let (many, long) = (format!("HTTP/1.1 200 OK\r\n{many}\r\n"), "a".repeat(300_000));
    let long = format!("HTTP/1.1 200 OK\r\nX-A: {long}\r\n\r\n");
    let folded = "with a header that is malformed or folded over several lines";
    let lengths = "with a Content-Length that is no number, or with several that differ";
    let too_large = "with more than 100 headers, or with a head longer than 256 KiB";
    let coding = "in a transfer coding that nobody asked for";
    let no_http = "with something that is not HTTP/1.1: its status line is malformed";
    for (answer, words) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhi", lengths),
        ("HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\nhi", lengths),
        ("HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n", lengths),
        ("HTTP/1.1 200 OK\r\nX-A: b\rX-B: c\r\nContent-Length: 2\r\n\r\nhi", folded),
        ("HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\nContent-Length: 2\r\n\r\nhi", folded),
        (&many, too_large),
        (&long, too_large),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhi", coding),
        ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", coding),
        ("hello\r\n\r\n", no_http),
        ("HTTP/1.1 twohundred OK\r\n\r\n", no_http),
        (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
            "the app switched to a protocol that it was not asked for",
        ),
        ("HTTP/1.1 200 OK\r\nX-A: b", "the app closed the connection without an answer"),
    ] {
        let words =
            if words.starts_with("the app") { words.to_owned() } else { format!("the app answered {words}") };
        let request = "POST / HTTP/1.1\r\nHost: echo.test\r\nContent-Length: 0\r\n\r\n";
        let worlds = ask_on_both_ways(answer, request, |is_fast, visitor| {
            let heard = visitor.answer();
            assert_eq!((heard.status, heard.body.trim_end()), (502, words.as_str()), "{is_fast}");
        });
        for world in worlds {
            let lines = world.log("echo", 1);
            let expected = format!("deis[router]: at=error desc=\"{words}\" method=POST");
            assert!(lines[0].starts_with(&expected), "{lines:?}");
        }
    }
}

#[test]
fn lengths_of_answers_without_a_body_are_checked_on_both_ways() {
    let lengths = "Content-Length: 2\r\nContent-Length: ";
    for (answer, status, length) in [
        (format!("HTTP/1.1 200 OK\r\n{lengths}2\r\n\r\n"), 200, Some("2")),
        (format!("HTTP/1.1 200 OK\r\n{lengths}3\r\n\r\n"), 502, None),
        ("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n".to_owned(), 502, None),
        ("HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nhi".to_owned(), 204, None),
    ] {
        ask_on_both_ways(&answer, "HEAD / HTTP/1.1\r\nHost: echo.test\r\n\r\n", |is_fast, visitor| {
            let head = visitor.head();

            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{is_fast}, {answer:?}: {head}");
            let told = head.lines().filter_map(|line| line.strip_prefix("content-length: "));
            let told: Vec<_> = told.collect();
            assert!(status == 502 || told == Vec::from_iter(length), "{is_fast}, {answer:?}: {head}");
        });
    }
}

#[test]
fn a_body_that_follows_a_response_without_one_reaches_nobody() {
    for (is_fast, request) in
        [true, false].into_iter().flat_map(|is_fast| [(is_fast, "HEAD"), (is_fast, "GET")])
    {
        let app = App::start("echo", |request| {
            if request.turn > 0 {
                // The body comes when the connection serves somebody else.
                request.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged");
            } else if request.head.contains("/first") {
                let status = if request.head.starts_with("HEAD") { "200 OK" } else { "304 Not Modified" };
                request.send(&format!("HTTP/1.1 {status}\r\nContent-Length: 45\r\n\r\n"));
            } else {
                request.answer("real");
            }
            true
        });
        let world = World::start_with(|settings| {
            settings.workers = 1;
            settings.fast_path = is_fast;
        });
        world.serve(vec![route("echo", &[&app])]);
        let mut visitor = Visitor::connect(&world);
        visitor.send(&format!("{request} /first HTTP/1.1\r\nHost: echo.test\r\n\r\n"));
        visitor.head();

        visitor.send("GET /second HTTP/1.1\r\nHost: echo.test\r\n\r\n");

        assert_eq!(visitor.answer().body, "real", "fast path: {is_fast}, {request}");
    }
}

#[test]
fn an_upgrade_that_is_only_half_asked_for_is_no_upgrade() {
    let app = echo();
    let world = world_of(&app);

    let answer =
        said(&world, "GET / HTTP/1.1\r\nHost: echo.test\r\nConnection: close\r\nUpgrade: websocket\r\n\r\n");

    assert!(answer.starts_with("HTTP/1.1 200") && !answer.contains("websocket"), "{answer}");
}

#[test]
fn heads_have_a_bound() {
    let app = echo();
    let world = world_of(&app);
    let long = format!("X-A: {}\r\n", "b".repeat(70_000));
    let many: String = (0..120).map(|number| format!("X-{number}: b\r\n")).collect();
    for lines in [long, many] {
        let answer = said(&world, &format!("{HEAD}{lines}\r\n"));
        assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    }
    assert_eq!(app.count(), 0);
}

#[test]
fn a_head_that_drips_in_is_given_up() {
    let world = World::start_with(|settings| settings.head_timeout = Duration::from_millis(200));
    let mut visitor = Visitor::connect(&world);

    visitor.send("GET / HTTP/1.1\r\nHost: ec");

    assert!(visitor.is_closed());
}

#[test]
fn a_body_that_stops_coming_is_given_up() {
    let (gone, wait) = mpsc::channel();
    let gone = Arc::new(Mutex::new(gone));
    let app = App::start("echo", move |request| {
        let mut all = Vec::new();
        let _ = request.stream.read_to_end(&mut all);
        gone.lock().expect("not poisoned").send(all.len()).expect("the test listens");
        false
    });
    let world = World::start();
    let mut with_timeout = route("echo", &[&app]);
    with_timeout.rules.timeout = Some(Duration::from_millis(200));
    with_timeout.rules.request_buffering = Some(false);
    world.serve(vec![with_timeout]);
    let mut visitor = Visitor::connect(&world);

    visitor.send(&format!("{HEAD}Content-Length: 1000\r\n\r\nbegun"));

    let status = visitor.answer().status;
    assert!(status == 408 || status == 504, "{status}");
    assert_eq!(wait.recv_timeout(Duration::from_secs(10)), Ok("begun".len()));
}
