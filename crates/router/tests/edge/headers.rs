use crate::app::{App, header};
use crate::echo::{HEAD, echo, said, seen, world_of};
use crate::visitor::Visitor;
use crate::world::{World, route};

#[test]
fn the_app_sees_who_asks_and_nothing_that_a_visitor_made_up() {
    let world = World::start();
    let app = App::start("echo", |request| {
        let head = request.head.clone();
        request.answer(&head);
        true
    });
    world.serve(vec![route("echo", &[&app])]);
    let mut visitor = Visitor::connect(&world);

    visitor.send(
        "GET /path?query=1 HTTP/1.1\r\nHost: echo.test:8000\r\nX-Forwarded-For: 6.6.6.6\r\n\
         X-Forwarded-Proto: https\r\nConnection: X-Gone\r\nX-Gone: 1\r\nX-Kept: 2\r\n\r\n",
    );
    let seen = visitor.answer().body;

    assert!(seen.starts_with("GET /path?query=1 HTTP/1.1\r\n"), "{seen}");
    for (name, value) in [
        ("host", Some("echo.test:8000")),
        ("x-forwarded-for", Some("127.0.0.1")),
        ("x-forwarded-proto", Some("http")),
        ("x-forwarded-port", Some(&*world.address.port().to_string())),
        ("x-gone", None),
        ("x-kept", Some("2")),
    ] {
        assert_eq!(header(&seen, name), value, "{name} in {seen}");
    }
}

#[test]
fn headers_of_one_connection_stay_there_on_both_ways() {
    let app = App::start("echo", |request| {
        let seen = request.head.clone();
        request.send(&format!(
            "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Own\r\nX-Own: 1\r\nKeep-Alive: timeout=5\r\n\
             Proxy-Connection: close\r\nUpgrade: h2c\r\nTrailer: X-Sum\r\nProxy-Authenticate: Basic\r\n\
             X-Kept: 2\r\nContent-Length: {}\r\n\r\n{seen}",
            seen.len()
        ));
        true
    });
    let world = world_of(&app);
    let mut visitor = Visitor::connect(&world);

    visitor.send(
        "GET / HTTP/1.1\r\nHost: echo.test\r\nConnection: keep-alive, X-Own,, te\r\nConnection: x-second\r\nX-Own: 1\r\n\
         X-Second: 1\r\nKeep-Alive: timeout=5\r\nProxy-Connection: close\r\nTE: trailers\r\nTrailer: X-Sum\r\n\
         Proxy-Authorization: Basic x\r\nUpgrade: h2c\r\nX-Kept: 2\r\n\r\n",
    );
    let answer = visitor.answer();

    for head in [&answer.head, &answer.body] {
        for gone in [
            "x-own",
            "x-second",
            "keep-alive",
            "proxy-connection",
            "te",
            "trailer",
            "upgrade",
            "proxy-authenticate",
            "proxy-authorization",
            "connection",
        ] {
            assert_eq!(header(head, gone), None, "{gone} in {head}");
        }
        assert_eq!(header(head, "x-kept"), Some("2"), "{head}");
    }
}

/// A visitor who says that these belong to the connection must not get rid of them (RFC 9110 section 7.6.1 lets
/// any header be named).
#[test]
fn what_the_router_says_cannot_be_stripped_by_naming_it() {
    let app = echo();
    let world = world_of(&app);
    world.tell(|rules| (rules.request_ids, rules.request_start) = (true, true));
    let names = [
        "host",
        "content-length",
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-port",
        "x-request-id",
        "x-correlation-id",
        "x-request-start",
    ];

    let answer = said(
        &world,
        &format!("{HEAD}Connection: close, {}\r\nContent-Length: 5\r\n\r\nhello", names.join(", ")),
    );

    let seen = seen(&answer);
    for name in names {
        assert!(header(seen, name).is_some(), "{name} in {seen}");
    }
    assert!(seen.ends_with("\r\n\r\nhello"), "{seen}");
}

/// Headers that frameworks trust as a proxy's: host, address, path and scheme.
const WORDS_OF_PROXIES: &str = "X-Forwarded-Host: evil.test\r\nX_Forwarded_Host: evil.test\r\nForwarded: for=6.6.6.6;host=evil.test\r\n\
     X-Real-IP: 6.6.6.6\r\nX_Real_IP: 6.6.6.6\r\nX-Forwarded-Server: evil.test\r\nX-Forwarded-Prefix: /evil\r\n\
     X-Original-URL: /admin\r\nX-Rewrite-URL: /admin\r\nTrue-Client-IP: 6.6.6.6\r\nX-Client-IP: 6.6.6.6\r\n\
     X-Forwarded-Ssl: on\r\nFront-End-Https: on\r\nProxy: http://evil.test:3128/\r\nPROXY: evil.test\r\n";

#[test]
fn what_only_a_proxy_may_say_of_a_request_is_not_passed_on_from_strangers() {
    let app = echo();
    let world = world_of(&app);
    // On the fast path, and on the slow one.
    for rest in ["Content-Length: 0\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"] {
        let answer =
            said(&world, &format!("{HEAD}Connection: close\r\nX-Kept: 1\r\n{WORDS_OF_PROXIES}{rest}"));

        let seen = seen(&answer).to_lowercase();
        for word in ["evil", "6.6.6.6", "/admin", "x-forwarded-ssl", "front-end-https", "proxy"] {
            assert!(!seen.contains(word), "{word} in {seen}");
        }
        assert_eq!(header(&seen, "x-kept"), Some("1"));
    }
}

#[test]
fn a_trusted_proxy_says_by_which_host_it_was_asked_but_nobody_says_proxy() {
    let app = echo();
    let world = world_of(&app);
    let network = domain::networks::Network::parse("127.0.0.0/8").expect("a network");
    world.tell(|rules| rules.trusted_proxies = vec![network]);

    let answer = said(
        &world,
        &format!(
            "{HEAD}Connection: close\r\nX-Forwarded-For: 192.0.2.9\r\n{WORDS_OF_PROXIES}Content-Length: 0\r\n\r\n"
        ),
    );

    let seen = seen(&answer);
    assert_eq!(header(seen, "x-forwarded-host"), Some("evil.test"), "{seen}");
    assert_eq!(header(seen, "x-real-ip"), Some("192.0.2.9"), "who asks, as it was understood");
    assert_eq!(header(seen, "proxy"), None);
    assert!(!seen.contains('_'), "{seen}");
}

/// Many apps take `_` for `-` (CGI, WSGI, Rack): there, such a header would overwrite the router's.
#[test]
fn names_that_apps_take_for_the_routers_are_dropped() {
    let app = echo();
    let world = world_of(&app);
    world.tell(|rules| rules.request_ids = true);

    let answer = said(
        &world,
        "POST / HTTP/1.1\r\nHost: echo.test\r\nConnection: close\r\nX_Forwarded_For: 6.6.6.6\r\nX-Forwarded_Proto: https\r\n\
         x_request_id: forged\r\nContent_Length: 3\r\nTransfer_Encoding: chunked\r\nMy_Own: 1\r\nContent-Length: 5\r\n\r\nhello",
    );

    let seen = seen(&answer);
    let names: Vec<_> = seen.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name).collect();
    let odd: Vec<_> = names.iter().filter(|name| name.contains('_')).collect();
    assert_eq!(odd, [&"my_own"], "{seen}");
    assert_eq!(header(seen, "content-length"), Some("5"));
}

#[test]
fn a_header_said_twice_stays_in_its_order() {
    let app = echo();
    let world = world_of(&app);

    let answer = said(
        &world,
        "GET / HTTP/1.1\r\nHost: echo.test\r\nX-A: 1\r\nX-B: 2\r\nX-A: 3\r\nConnection: close\r\n\r\n",
    );

    let values: Vec<_> = seen(&answer).lines().filter_map(|line| line.strip_prefix("x-a: ")).collect();
    assert_eq!(values, ["1", "3"], "{answer}");
}
