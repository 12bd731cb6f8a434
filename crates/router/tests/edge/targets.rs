//! Request targets and Host (RFC 9112 section 3.2, RFC 9110 section 7.2).

use crate::app::header;
use crate::echo::{echo, said, seen, status, world_of};

fn asked(world: &crate::world::World, line: &str, headers: &str) -> String {
    said(world, &format!("{line}\r\n{headers}Connection: close\r\n\r\n"))
}

#[test]
fn targets_reach_the_app_as_they_were_written() {
    let app = echo();
    let world = world_of(&app);
    for (target, path) in [
        ("/", "/"),
        ("/a/../b/./c//d", "/a/../b/./c//d"),
        ("//evil.test/x", "//evil.test/x"),
        ("/%2e%2e/%2F?x=%00&y", "/%2e%2e/%2F?x=%00&y"),
        ("/?a?b/c", "/?a?b/c"),
        ("http://echo.test", "/"),
        ("http://echo.test?a", "/?a"),
        ("http://ECHO.test:8000/a", "/a"),
        ("https://echo.test/a?b", "/a?b"),
    ] {
        let answer = asked(&world, &format!("GET {target} HTTP/1.1"), "Host: echo.test\r\n");

        assert!(seen(&answer).starts_with(&format!("GET {path} HTTP/1.1\r\n")), "{target}: {answer}");
    }
    let answer = asked(&world, "OPTIONS * HTTP/1.1", "Host: echo.test\r\n");
    assert!(seen(&answer).starts_with("OPTIONS * HTTP/1.1\r\n"), "{answer}");
}

#[test]
fn targets_that_are_neither_path_nor_url_are_refused() {
    let app = echo();
    let world = world_of(&app);
    for target in [
        "echo.test",
        "echo.test:80",
        "a/b",
        "*",
        "?a",
        "http://",
        "http://evil@echo.test/",
        "http://echo.test@evil.test/",
        "http://echo.test:99999/",
        "http://echo.test\\evil/",
        "http:///a",
        "/a\u{b}b",
        "/a\"b c",
    ] {
        let answer = asked(&world, &format!("GET {target} HTTP/1.1"), "Host: echo.test\r\n");

        assert_eq!(status(&answer), "400", "{target}: {answer}");
    }
    assert_eq!(app.count(), 0);
}

#[test]
fn a_url_needs_a_host_beside_it_all_the_same_and_is_told_apart_from_it() {
    let app = echo();
    let world = world_of(&app);
    for (headers, expected) in [
        ("Host: other.test\r\n", "200"),
        ("", "400"),
        ("Host: a b\r\n", "400"),
        ("Host: echo.test\r\nHost: echo.test\r\n", "400"),
    ] {
        let answer = asked(&world, "GET http://echo.test/ HTTP/1.1", headers);

        assert_eq!(status(&answer), expected, "{headers:?}: {answer}");
        assert!(expected != "200" || header(seen(&answer), "host") == Some("echo.test"), "{answer}");
    }
}

#[test]
fn hosts_that_could_mean_two_things_are_refused() {
    let app = echo();
    let world = world_of(&app);
    for host in [
        "",
        "echo.test, evil.test",
        "evil@echo.test",
        "echo.test#",
        "echo.test?x",
        "echo.test/x",
        "echo.test:80:80",
        "echo.test:http",
        "echo.test:-1",
        "[::1",
        "http://echo.test",
        "echo.test\u{b}",
        "echo.test evil.test",
    ] {
        let answer = asked(&world, "GET / HTTP/1.1", &format!("Host: {host}\r\n"));

        assert_eq!(status(&answer), "400", "{host:?}: {answer}");
    }
    for headers in [
        "Host: echo.test\r\nhost: evil.test\r\n",
        "Host: echo.test\r\nHOST: echo.test\r\n",
        "Host : echo.test\r\n",
    ] {
        assert_eq!(status(&asked(&world, "GET / HTTP/1.1", headers)), "400", "{headers:?}");
    }
    assert_eq!(app.count(), 0);
}

#[test]
fn nobody_tunnels_through_the_router() {
    let app = echo();
    let world = world_of(&app);
    for target in ["echo.test:80", "10.0.0.1:22", "http://echo.test/", "/"] {
        let answer = asked(&world, &format!("CONNECT {target} HTTP/1.1"), "Host: echo.test\r\n");

        assert!(answer.starts_with("HTTP/1.1 4"), "{target}: {answer}");
    }
    assert_eq!(app.count(), 0);
}
