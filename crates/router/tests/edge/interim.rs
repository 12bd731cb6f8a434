//! Answers before the answer, and answers before the end of the question (RFC 9110 sections 10.1.1 and 15.2,
//! RFC 9112 section 9.3).

use std::sync::mpsc;
use std::sync::{Arc, Mutex};

use crate::app::{App, header};
use crate::echo::{HEAD, echo, said, seen, status, world_of};
use crate::visitor::{Visitor, get};
use crate::world::{World, route};

#[test]
fn a_visitor_who_does_not_wait_to_be_told_is_answered_once() {
    let app = echo();
    let world = world_of(&app);

    let bytes = format!("{HEAD}Expect: 100-Continue\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello");
    let answer = said(&world, &bytes);

    let last = answer.strip_prefix("HTTP/1.1 100 Continue\r\n\r\n").unwrap_or(&answer);
    assert!(status(last) == "200" && seen(last).ends_with("hello"), "{answer}");
    assert_eq!(app.count(), 1);
}

#[test]
fn http_1_0_and_requests_without_a_body_are_told_nothing_in_between() {
    let app = echo();
    let world = world_of(&app);
    for bytes in [
        "POST / HTTP/1.0\r\nHost: echo.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
        "GET / HTTP/1.1\r\nHost: echo.test\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n",
    ] {
        let answer = said(&world, bytes);

        assert!(answer.split(' ').nth(1) == Some("200"), "{bytes}: {answer}");
        assert_eq!(header(seen(&answer), "expect"), None);
    }
}

#[test]
fn a_refusal_comes_in_place_of_the_word_to_go_on() {
    let app = echo();
    let world = world_of(&app);
    for (host, expected) in [("nobody.test", "404"), ("a b", "400")] {
        let head =
            format!("POST / HTTP/1.1\r\nHost: {host}\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
        let mut visitor = Visitor::connect(&world);
        visitor.send(&head);

        assert_eq!(status(&visitor.head()), expected);
    }
    assert_eq!(app.count(), 0);
}

#[test]
fn what_an_app_says_in_between_does_not_stand_for_its_answer() {
    let app = App::start("echo", |request| {
        request.send("HTTP/1.1 100 Continue\r\n\r\n");
        request.send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n");
        request.body();
        request.send("HTTP/1.1 102 Processing\r\n\r\n");
        request.answer("last");
        true
    });
    let world = world_of(&app);
    let mut visitor = Visitor::connect(&world);

    for _ in 0..2 {
        visitor.send(&format!("{HEAD}Content-Length: 5\r\n\r\nhello"));
        let mut head = visitor.head();
        while head.starts_with("HTTP/1.1 1") {
            head = visitor.head();
        }

        assert_eq!((status(&head), header(&head, "link")), ("200", None));
        assert_eq!(visitor.bytes(4), b"last");
    }
}

/// Answers at once, and reads the body only when told to.
fn hasty() -> (App, mpsc::Sender<()>) {
    let (go_on, wait) = mpsc::channel::<()>();
    let wait = Arc::new(Mutex::new(wait));
    let app = App::start("echo", move |request| {
        request.answer("early");
        let _ = wait.lock().expect("not poisoned").recv();
        request.body();
        true
    });
    (app, go_on)
}

#[test]
fn after_an_early_answer_the_rest_of_the_body_is_no_request() {
    let (app, go_on) = hasty();
    let world = world_of(&app);
    world.tell(|rules| rules.request_buffering = false);
    let rest = "GET /smuggled HTTP/1.1\r\nHost: echo.test\r\n\r\n";
    let mut visitor = Visitor::connect(&world);

    visitor.send(&format!("{HEAD}Content-Length: {}\r\n\r\nbegun", rest.len() + 5));
    assert_eq!(visitor.answer().body, "early");
    // The router may have closed the connection by now.
    visitor.try_send(rest);
    go_on.send(()).expect("the app waits");
    visitor.try_send("GET /next HTTP/1.1\r\nHost: echo.test\r\nConnection: close\r\n\r\n");
    drop(go_on);
    let left = visitor.rest();

    assert!(left.is_empty() || left.matches("HTTP/1.1 200").count() == 1, "{left}");
    assert!(app.count() <= 2, "{} requests arrived", app.count());
}

#[test]
fn an_app_that_hangs_up_after_an_early_answer_is_heard() {
    let app = App::start("echo", |request| {
        // Unread bytes at closing would reset the connection and discard the response.
        std::io::Read::read_exact(&mut request.stream, &mut [0; 10]).expect("the body begins");
        request.send("HTTP/1.1 413 Payload Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig");
        false
    });
    let world = world_of(&app);
    world.tell(|rules| rules.request_buffering = false);
    for _ in 0..10 {
        let mut visitor = Visitor::connect(&world);
        visitor.send(&format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"));

        let answer = visitor.answer();

        assert_eq!((answer.status, answer.body.as_str()), (413, "big"));
    }
}

#[test]
fn an_answer_that_is_cut_off_never_looks_whole_to_the_visitor() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\nhello",
    ] {
        let app = App::start("echo", move |request| {
            request.send(answer);
            false
        });
        let world = world_of(&app);

        let heard = said(&world, "GET / HTTP/1.1\r\nHost: echo.test\r\n\r\n");

        let is_whole = heard.ends_with("0\r\n\r\n") || heard.contains("content-length: 5\r\n");
        assert!(!is_whole, "{answer:?}: {heard}");
    }
}

#[test]
fn an_answer_without_a_length_ends_with_its_connection() {
    let app = App::start("echo", |request| {
        request.send("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello");
        false
    });
    let world = world_of(&app);

    let heard = said(&world, "GET / HTTP/1.1\r\nHost: echo.test\r\nConnection: close\r\n\r\n");

    assert!(
        heard.contains("transfer-encoding: chunked") && heard.ends_with("5\r\nhello\r\n0\r\n\r\n"),
        "{heard}"
    );
}

#[test]
fn what_an_app_says_beyond_its_answer_reaches_nobody() {
    let poison = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
    for (line, answer) in [
        ("GET /204", "HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET /304", "HTTP/1.1 304 Not Modified\r\nContent-Length: 52\r\n\r\n"),
        ("HEAD /head", "HTTP/1.1 200 OK\r\nContent-Length: 52\r\n\r\n"),
        ("GET /two", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"),
        ("GET /chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("GET /both", "HTTP/1.1 200 OK\r\nContent-Length: 52\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ] {
        let app = App::start("echo", move |request| {
            if request.head.starts_with("GET /own ") {
                request.answer("own");
            } else {
                request.send(&format!("{answer}{poison}"));
            }
            true
        });
        let world = World::start_with(|settings| settings.workers = 1);
        world.serve(vec![route("echo", &[&app])]);
        for _ in 0..5 {
            let heard =
                said(&world, &format!("{line} HTTP/1.1\r\nHost: echo.test\r\nConnection: close\r\n\r\n"));
            let has_both = heard.contains("content-length") && heard.contains("transfer-encoding");
            assert!(!heard.contains("poison") && !has_both, "{line}: {heard}");

            assert_eq!(get(&world, "echo.test", "/own").body, "own", "after {line}");
        }
    }
}

#[test]
fn an_answer_in_a_coding_that_nobody_asked_for_is_not_passed_on() {
    let app = App::start("echo", |request| {
        request.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n");
        false
    });
    let world = world_of(&app);

    let heard = said(&world, "GET / HTTP/1.1\r\nHost: echo.test\r\nConnection: close\r\n\r\n");

    assert_eq!(status(&heard), "502", "{heard}");
}
