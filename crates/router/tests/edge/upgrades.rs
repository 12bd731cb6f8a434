//! Connections that change their protocol: WebSockets (RFC 6455 section 4, RFC 9110 section 7.8).

use crate::app::{App, header};
use crate::echo::{echo, said, seen, status, world_of};
use crate::visitor::{Visitor, tcp};
use crate::world::{World, route};

#[test]
fn a_websocket_speaks_both_ways_through_the_router() {
    let world = World::start();
    let app = App::start("chat", |request| {
        assert_eq!(header(&request.head, "upgrade"), Some("websocket"));
        request.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
        loop {
            let mut line = String::new();
            if std::io::BufRead::read_line(&mut request.stream, &mut line).unwrap_or(0) == 0 {
                return false;
            }
            request.send(&format!("you said {line}"));
        }
    });
    world.serve(vec![route("chat", &[&app])]);
    let mut visitor = Visitor::connect(&world);

    visitor.send("GET / HTTP/1.1\r\nHost: chat.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    let head = visitor.head();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    for word in ["hello", "again"] {
        visitor.send(&format!("{word}\n"));
        assert_eq!(visitor.line(), format!("you said {word}\n"));
    }
    world.wait_for_report(|report| report.in_flight.get("chat") == Some(&1));

    drop(visitor);
    world.wait_for_report(|report| report.in_flight.is_empty());
}

/// The handshake of RFC 6455 section 1.3.
const HANDSHAKE: &str = "GET /chat HTTP/1.1\r\nHost: echo.test\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: chat, superchat\r\n\
    Sec-WebSocket-Extensions: permessage-deflate\r\nOrigin: http://echo.test\r\n";

#[test]
fn both_sides_of_a_handshake_see_what_the_other_said() {
    let app = App::start("echo", |request| {
        let seen = request.head.clone();
        request.send(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\n\r\n",
        );
        request.send(&seen);
        false
    });
    let world = world_of(&app);
    let mut visitor = Visitor::connect(&world);

    visitor.send(&format!("{HANDSHAKE}\r\n"));
    let answer = visitor.head();
    let seen = visitor.rest();

    for (name, value) in [
        ("upgrade", "websocket"),
        ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        ("sec-websocket-protocol", "chat"),
    ] {
        assert_eq!(header(&answer, name), Some(value), "{answer}");
    }
    assert!(
        header(&answer, "connection").is_some_and(|value| value.eq_ignore_ascii_case("upgrade")),
        "{answer}"
    );
    for (name, value) in [
        ("upgrade", "WebSocket"),
        ("connection", "upgrade"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-version", "13"),
        ("sec-websocket-protocol", "chat, superchat"),
        ("sec-websocket-extensions", "permessage-deflate"),
        ("origin", "http://echo.test"),
    ] {
        assert_eq!(header(&seen, name), Some(value), "{seen}");
    }
}

#[test]
fn frames_sent_before_the_app_has_agreed_reach_it_afterwards() {
    let app = App::start("echo", |request| {
        request.send(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nfirst ",
        );
        let mut hasty = [0; 5];
        std::io::Read::read_exact(&mut request.stream, &mut hasty).expect("the visitor's bytes");
        request.send(&String::from_utf8_lossy(&hasty));
        false
    });
    let world = world_of(&app);
    let mut visitor = Visitor::connect(&world);

    visitor.send(&format!("{HANDSHAKE}\r\nhasty"));

    assert!(visitor.head().starts_with("HTTP/1.1 101 "));
    assert_eq!(visitor.rest(), "first hasty");
}

/// An app that says no goes on speaking HTTP: bytes after the handshake are requests, and go where requests go.
#[test]
fn a_handshake_that_the_app_refuses_opens_no_tunnel() {
    let app = App::start("echo", |request| {
        let seen = request.head.clone();
        if header(&seen, "upgrade").is_some() {
            request.send(
                "HTTP/1.1 426 Upgrade Required\r\nSec-WebSocket-Version: 13\r\nContent-Length: 2\r\n\r\nno",
            );
        } else {
            request.answer(&seen);
        }
        true
    });
    let world = world_of(&app);
    let mut visitor = Visitor::connect(&world);

    visitor.send(&format!("{HANDSHAKE}\r\n"));
    let refused = visitor.answer();
    visitor.send("GET /secret HTTP/1.1\r\nHost: nobody.test\r\n\r\n");
    let elsewhere = visitor.answer();
    visitor.send("GET /next HTTP/1.1\r\nHost: echo.test\r\n\r\n");
    let next = visitor.answer();

    assert_eq!((refused.status, header(&refused.head, "sec-websocket-version")), (426, Some("13")));
    assert_eq!(elsewhere.status, 404);
    assert!(next.body.starts_with("GET /next ") && app.count() == 2, "{next:?}");
}

#[test]
fn http_1_0_is_not_upgraded() {
    let app = echo();
    let world = world_of(&app);

    let answer = said(
        &world,
        "GET / HTTP/1.0\r\nHost: echo.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    );

    assert_eq!(header(seen(&answer), "upgrade"), None, "{answer}");
}

#[test]
fn h2c_is_not_spoken_by_upgrade() {
    let app = echo();
    let world = world_of(&app);

    let answer = said(
        &world,
        "GET / HTTP/1.1\r\nHost: echo.test\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\n\
         HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
    );

    // RFC 9113 section 3.1: the token is obsolete; behind it an app could be spoken to past all rules.
    assert_eq!(
        (header(seen(&answer), "upgrade"), header(seen(&answer), "http2-settings")),
        (None, None),
        "{answer}"
    );
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[test]
fn each_side_may_end_its_half_of_a_tunnel_first() {
    let app = App::start("echo", |request| {
        request.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
        let mut all = String::new();
        std::io::Read::read_to_string(&mut request.stream, &mut all).expect("the visitor's half ends");
        request.send(&format!("heard {all}"));
        false
    });
    let world = world_of(&app);
    let line = tcp(world.address);
    let ending = line.try_clone().expect("a second handle");
    let mut visitor = Visitor::on(line);
    visitor.send(&format!("{HANDSHAKE}\r\n"));
    assert!(visitor.head().starts_with("HTTP/1.1 101 "));

    visitor.send("all");
    ending.shutdown(std::net::Shutdown::Write).expect("the end is told");

    assert_eq!(visitor.rest(), "heard all");
}

#[test]
fn an_app_switches_to_what_was_asked_for_or_not_at_all() {
    for (answered, expected) in [("WebSocket", "101"), ("websocket/13", "502"), ("ssh", "502"), ("", "502")] {
        let app = App::start("echo", move |request| {
            let upgrade =
                if answered.is_empty() { String::new() } else { format!("Upgrade: {answered}\r\n") };
            request
                .send(&format!("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n{upgrade}\r\n"));
            false
        });
        let world = world_of(&app);

        let answer = said(&world, &format!("{HANDSHAKE}\r\n"));

        assert_eq!(status(&answer), expected, "{answered:?}: {answer}");
    }
}

#[test]
fn a_handshake_with_a_body_smuggles_nothing() {
    let app = echo();
    let world = world_of(&app);
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: echo.test\r\n\r\n";
    let mut visitor = Visitor::connect(&world);

    visitor.send(&format!("{HANDSHAKE}Content-Length: {}\r\n\r\n{smuggled}", smuggled.len()));
    let first = visitor.answer();
    visitor.send("GET /next HTTP/1.1\r\nHost: echo.test\r\n\r\n");
    let next = visitor.answer();

    assert!(first.body.ends_with(smuggled), "{first:?}");
    assert!(next.body.starts_with("GET /next ") && app.count() == 2, "{next:?}");
}
