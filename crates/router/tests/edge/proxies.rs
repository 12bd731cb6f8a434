//! Proxies in front of the router: whom it believes.

use domain::edge::ProxyHeader;
use domain::networks::Network;

use crate::app::{App, header};
use crate::visitor::{Answer, Visitor};
use crate::world::{World, route};

fn world_of(app: &App) -> World {
    let world = World::start();
    world.serve(vec![route("echo", &[app])]);
    world
}

fn echo() -> App {
    App::start("echo", |request| {
        let head = request.head.clone();
        request.answer(&head);
        true
    })
}

fn ask(world: &World, before: &str, headers: &str) -> Answer {
    let mut visitor = Visitor::connect(world);
    visitor.send(&format!("{before}GET / HTTP/1.1\r\nHost: echo.test\r\n{headers}\r\n"));
    visitor.answer()
}

#[test]
fn an_app_learns_by_the_proxy_protocol_who_asks_if_it_wants_to() {
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    // Says what its connection began with, up to the end of the head of the first request, and stays open.
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut stream = BufReader::new(stream);
                let mut begin = Vec::new();
                if stream.fill_buf().is_ok_and(|bytes| bytes.starts_with(b"\r\n\r\n\0")) {
                    begin.resize(28, 0);
                    stream.read_exact(&mut begin).expect("a header of IPv4");
                } else {
                    stream.read_until(b'\n', &mut begin).expect("a line");
                }
                let text: String = begin.iter().map(|byte| format!("{byte:02x}")).collect();
                let mut line = String::new();
                while line != "\r\n" {
                    line.clear();
                    stream.read_line(&mut line).expect("a head");
                }
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len());
                stream.get_mut().write_all(answer.as_bytes()).expect("the router reads");
                // Ends when the router hangs up.
                let _ = stream.read(&mut [0]);
            });
        }
    });
    let world = World::start_with(|settings| settings.workers = 1);
    let mut told = route("echo", &[]);
    told.backends = vec![domain::routing::Backend { key: "told".to_owned(), address, release: 1 }];
    let mut asked = |header| {
        told.rules.proxy_header = Some(header);
        world.serve(vec![told.clone()]);
        let mut visitor = Visitor::connect(&world);
        let port = visitor.port();
        // On one connection of the visitor: the app's is a new one each time.
        let mut told = || {
            visitor.send("GET / HTTP/1.1\r\nHost: echo.test\r\n\r\n");
            visitor.answer().body
        };
        (port, [told(), told()])
    };

    let (port, told) = asked(ProxyHeader::V1);
    let line = format!("PROXY TCP4 127.0.0.1 127.0.0.1 {port} {}\r\n", address.port());
    let line: String = line.bytes().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(told, [line.clone(), line]);
    let (port, told) = asked(ProxyHeader::V2);
    let header = format!("0d0a0d0a000d0a515549540a2111000c7f0000017f000001{port:04x}{:04x}", address.port());
    assert_eq!(told, [header.clone(), header]);
}

#[test]
fn a_trusted_proxy_tells_who_asks_and_how() {
    let app = echo();
    let world = world_of(&app);
    let mut listed = route("echo", &[&app]);
    (listed.edge.whitelist, listed.edge.https_enforced) = (vec!["192.0.2.1".to_owned()], true);
    world.serve(vec![listed]);
    let told = "X-Forwarded-For: 6.6.6.6, 192.0.2.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: 444\r\n";
    assert_eq!(ask(&world, "", told).status, 403);

    world.tell(|rules| rules.trusted_proxies = vec![Network::parse("127.0.0.1").expect("an address")]);

    let answer = ask(&world, "", told);
    assert_eq!(answer.status, 200);
    for (name, value) in
        [("x-forwarded-for", "192.0.2.1"), ("x-forwarded-proto", "https"), ("x-forwarded-port", "444")]
    {
        assert_eq!(header(&answer.body, name), Some(value));
    }
    let plain = ask(&world, "", "X-Forwarded-For: 192.0.2.1\r\n");
    assert_eq!(
        header(&plain.head, "location"),
        Some("https://echo.test/"),
        "the proxy has a connection of its own"
    );
}

#[test]
fn the_proxy_protocol_tells_who_asks_and_is_required_once_it_is_on() {
    let app = echo();
    let world = world_of(&app);
    world.tell(|rules| rules.proxy_protocol = true);

    let answer = ask(&world, "PROXY TCP4 192.0.2.7 127.0.0.1 5000 80\r\n", "X-Forwarded-For: 6.6.6.6\r\n");

    assert_eq!(header(&answer.body, "x-forwarded-for"), Some("192.0.2.7"));
    let mut without = Visitor::connect(&world);
    without.send("GET / HTTP/1.1\r\nHost: echo.test\r\n\r\n");
    assert!(without.is_closed());
    assert_eq!(app.count(), 1);
}
