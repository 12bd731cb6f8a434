//! Framing of bodies: a message that two readers could read differently is refused or reframed, and unread bytes
//! of a connection are never read as a request (RFC 9112 sections 2.2, 5, 6, 7).

use std::net::Shutdown;

use crate::app::header;
use crate::echo::{HEAD, echo, said, seen, status, world_of};
use crate::visitor::{Visitor, tcp};

/// A request that must never be seen by an app.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: echo.test\r\n\r\n";

#[test]
fn a_length_said_twice_alike_reaches_the_app_once_or_not_at_all() {
    let app = echo();
    let world = world_of(&app);
    for lengths in ["Content-Length: 5\r\nContent-Length: 5\r\n", "Content-Length: 5, 5\r\n"] {
        let answer = said(&world, &format!("{HEAD}Connection: close\r\n{lengths}\r\nhello{SMUGGLED}"));

        let told = seen(&answer).to_ascii_lowercase();
        let is_once = told.matches("content-length: 5\r\n").count() == 1 && !told.contains("5, 5");
        assert!(status(&answer) == "400" || is_once, "{lengths:?}: {answer}");
        assert!(!answer.contains("/smuggled"), "{answer}");
    }
}

#[test]
fn lengths_that_no_number_holds_are_refused() {
    let app = echo();
    let world = world_of(&app);
    for length in
        ["18446744073709551616", "99999999999999999999999", "-1", "0x5", "5_0", "5 5", "", "5;", "\"5\""]
    {
        let answer = said(&world, &format!("{HEAD}Content-Length: {length}\r\n\r\nhello"));

        assert_eq!(status(&answer), "400", "{length:?}: {answer}");
    }
    // The largest that a number holds is no length of ours either.
    let answer = said(&world, &format!("{HEAD}Content-Length: 18446744073709551615\r\n\r\nhello"));
    assert!(["400", "413", "431"].contains(&status(&answer)), "{answer}");
    assert_eq!(app.count(), 0);
}

#[test]
fn codings_written_oddly_are_refused_or_mean_chunks() {
    let app = echo();
    let world = world_of(&app);
    for coding in [
        "xchunked",
        "chunked,",
        ",chunked",
        "chunked, chunked",
        "\"chunked\"",
        "chunked;q=1",
        "x",
        "",
        "identity",
        "chunked\u{b}",
        "chu\0nked",
        "chunked\r\n ,gzip",
    ] {
        let bytes =
            format!("{HEAD}Connection: close\r\nTransfer-Encoding: {coding}\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
        let answer = said(&world, &bytes);
        let status = status(&answer);
        assert!(["400", "501"].contains(&status), "{coding:?}: {answer}");
    }
    assert_eq!(app.count(), 0);
    for coding in ["CHUNKED", "Chunked", "chunked "] {
        let bytes =
            format!("{HEAD}Connection: close\r\nTransfer-Encoding: {coding}\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
        let answer = said(&world, &bytes);
        assert!(seen(&answer).ends_with("\r\n\r\nhello"), "{coding:?}: {answer}");
        assert_eq!(
            header(seen(&answer), "transfer-encoding"),
            Some("chunked"),
            "some apps know no other spelling"
        );
    }
}

#[test]
fn chunks_of_http_1_0_are_refused() {
    let app = echo();
    let world = world_of(&app);

    let bytes = "POST / HTTP/1.0\r\nHost: echo.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    let answer = said(&world, &format!("{bytes}{SMUGGLED}"));

    assert!(!answer.contains("/smuggled") && !answer.contains(" 200 "), "{answer}");
    assert_eq!(app.count(), 0);
}

#[test]
fn chunks_written_by_the_rules_arrive_without_their_extensions() {
    let app = echo();
    let world = world_of(&app);
    for chunks in [
        "5\r\nhello\r\n0\r\n\r\n",
        "0005\r\nhello\r\n000\r\n\r\n",
        "5;a=b\r\nhello\r\n0;c\r\n\r\n",
        "5;a=\"b;c\"\r\nhello\r\n0\r\n\r\n",
        "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
        "5\r\nhello\r\n0\r\nX-Trailer: 1\r\nHost: evil.test\r\n\r\n",
    ] {
        let bytes = format!("{HEAD}Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
        let answer = said(&world, &bytes);

        let seen = seen(&answer);
        assert!(seen.ends_with("\r\n\r\nhello"), "{chunks:?}: {answer}");
        assert_eq!((header(seen, "x-trailer"), header(seen, "host")), (None, Some("echo.test")));
    }
}

#[test]
fn chunks_that_two_readers_could_read_differently_end_the_connection() {
    for chunks in [
        "10000000000000005\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "5_0\r\nhello\r\n0\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "5\rhello\r\n0\r\n\r\n",
        "5\r\rhello\r\n0\r\n\r\n",
        "5;a\rb\r\nhello\r\n0\r\n\r\n",
        "5;\nhello\r\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello\r0\r\n\r\n",
        "5\r\nhello\r\n0\n\n",
        "5\r\nhello\r\n0\r\nno trailer\r\n\r\n",
        "5\r\nhello\r\n0\r\nX: a\rb\r\n\r\n",
        "g\r\nhello\r\n0\r\n\r\n",
        ";a=b\r\nhello\r\n0\r\n\r\n",
    ] {
        let app = echo();
        let world = world_of(&app);

        let answer = said(&world, &format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n{chunks}{SMUGGLED}"));

        assert!(!answer.contains("/smuggled"), "{chunks:?}: {answer}");
        assert_eq!(status(&answer), "400", "{chunks:?}: {answer}");
    }
}

#[test]
fn endless_extensions_and_trailers_are_refused() {
    let app = echo();
    let world = world_of(&app);
    let long = "a".repeat(100_000);
    for chunks in
        [format!("5;{long}\r\nhello\r\n0\r\n\r\n"), format!("5\r\nhello\r\n0\r\nX-A: {long}\r\n\r\n")]
    {
        let answer = said(&world, &format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n{chunks}"));

        assert_eq!(status(&answer), "400", "{answer}");
    }
}

#[test]
fn a_body_that_is_cut_off_never_looks_whole_to_the_app() {
    let app = echo();
    let world = world_of(&app);
    for begun in [
        "Content-Length: 9\r\n\r\nhello",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "Transfer-Encoding: chunked\r\n\r\n9\r\nhello",
    ] {
        let line = tcp(world.address);
        let ending = line.try_clone().expect("a second handle");
        let mut visitor = Visitor::on(line);
        visitor.send(&format!("{HEAD}{begun}"));
        ending.shutdown(Shutdown::Write).expect("the end is told");

        let answer = visitor.rest();

        assert!(answer.is_empty() || status(&answer) == "400", "{begun:?}: {answer}");
    }
}

#[test]
fn what_follows_a_request_that_was_refused_is_not_read_as_another() {
    let app = echo();
    let world = world_of(&app);
    world.tell(|rules| rules.body_bytes_max = Some(1_000));
    let length = SMUGGLED.len();
    for refused in [
        format!("POST / HTTP/1.1\r\nHost: nobody.test\r\nContent-Length: {length}\r\n\r\n"),
        format!("POST / HTTP/1.1\r\nContent-Length: {length}\r\n\r\n"),
        format!("POST / HTTP/1.1\r\nHost: nobody.test\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n"),
        format!("CONNECT echo.test:80 HTTP/1.1\r\nHost: echo.test\r\nContent-Length: {length}\r\n\r\n"),
        format!("{HEAD}Expect: 100-continue\r\nContent-Length: 1001\r\n\r\n"),
    ] {
        let answer = said(&world, &format!("{refused}{SMUGGLED}\r\n0\r\n\r\nX\r\n\r\n"));

        assert!(answer.starts_with("HTTP/1.1 4") && !answer.contains("/smuggled"), "{refused}: {answer}");
    }
    assert_eq!(app.count(), 0);
}

#[test]
fn a_body_of_a_get_is_a_body() {
    let app = echo();
    let world = world_of(&app);
    let length = SMUGGLED.len();
    let head = format!("GET /first HTTP/1.1\r\nHost: echo.test\r\nContent-Length: {length}\r\n\r\n");
    let last = "GET /last HTTP/1.1\r\nHost: echo.test\r\nConnection: close\r\n\r\n";

    let answer = said(&world, &format!("{head}{SMUGGLED}{last}"));

    assert!(answer.contains(&format!("\r\n\r\n{SMUGGLED}")) && answer.contains("GET /last"), "{answer}");
    assert_eq!(app.count(), 2);
}

#[test]
fn line_ends_of_any_legal_kind_are_cr_lf_to_the_app() {
    let app = echo();
    let world = world_of(&app);
    for head in [
        "\r\n\r\nGET / HTTP/1.1\r\nHost: echo.test\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.1\nHost: echo.test\nConnection: close\n\n",
        "GET / HTTP/1.1\r\nHost: \t echo.test\t \r\nConnection:close\r\n\r\n",
    ] {
        let answer = said(&world, head);

        let seen = seen(&answer);
        assert!(seen.starts_with("GET / HTTP/1.1\r\n"), "{head:?}: {answer}");
        assert_eq!(seen.matches('\n').count(), seen.matches("\r\n").count(), "{seen:?}");
        assert_eq!(header(seen, "host"), Some("echo.test"));
    }
}

#[test]
fn nothing_can_be_written_between_the_lines_of_a_head() {
    let app = echo();
    let world = world_of(&app);
    for head in [
        "GET / HTTP/1.1\rHost: echo.test\r\n\r\n",
        "GET / HTTP/1.1\r\n Host: echo.test\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: echo.test\r\nX-A: b\r\r\nX-B: c\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: echo.test\r\nX-A: b\r\n\tc\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: echo.test\r\n: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: echo.test\r\nX\u{7f}A: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: echo.test\r\nX-A: b\u{1}c\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: echo.test\r\nX-A\t: b\r\n\r\n",
        "GET /a\rb HTTP/1.1\r\nHost: echo.test\r\n\r\n",
        "GET /a\0b HTTP/1.1\r\nHost: echo.test\r\n\r\n",
        "GET /\tHTTP/1.1\r\nHost: echo.test\r\n\r\n",
        "GET / HTTP/1.1 \r\nHost: echo.test\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: echo.test\r\nNothing\r\n\r\n",
        "GET / http/1.1\r\nHost: echo.test\r\n\r\n",
        "GET /\r\nHost: echo.test\r\n\r\n",
        "GET / HTTP/2.0\r\nHost: echo.test\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let answer = said(&world, head);

        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{head:?}: {answer}");
    }
    assert_eq!(app.count(), 0);
}

#[test]
fn line_ends_in_disguise_stay_what_they_are() {
    let app = echo();
    let world = world_of(&app);

    let bytes = "GET /a%0d%0aX-B:%20c HTTP/1.1\r\nHost: echo.test\r\nX-A: b%0d%0aX-B: c\u{e5}\u{8a}\r\nConnection: close\r\n\r\n";
    let answer = said(&world, bytes);

    let seen = seen(&answer);
    assert!(seen.starts_with("GET /a%0d%0aX-B:%20c HTTP/1.1\r\n"), "{seen}");
    assert_eq!((header(seen, "x-b"), header(seen, "x-a")), (None, Some("b%0d%0aX-B: c\u{e5}\u{8a}")));
}
