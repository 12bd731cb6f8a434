//! Crowds of connections: who waits for nothing makes room, one source has its share, and the router serves on.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use domain::networks::Network;
use router::LeastRate;

use crate::app::App;
use crate::echo::{HEAD, echo};
use crate::frames::{END_HEADERS, END_STREAM, HEADERS, Http2, Outcome, block, http2_of};
use crate::visitor::{Visitor, get};
use crate::world::{World, route};

/// A connection from this address of the loopback network.
fn from(world: &World, last: u8) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    let own = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 7, last)), 0);
    socket.bind(&own.into()).expect("an address of this machine");
    socket.connect(&world.address.into()).expect("the router listens");
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    stream
}

fn half_sent_head(world: &World, last: u8) -> TcpStream {
    let mut stream = from(world, last);
    // It may be closed already.
    let _ = stream.write_all(b"GET / HTTP/1.1\r\nHost: echo");
    stream
}

fn is_closed(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0; 512]) {
        Ok(0) => true,
        Ok(_) => false,
        Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
    }
}

fn is_served(world: &World, last: u8) -> bool {
    let mut visitor = Visitor::on(from(world, last));
    visitor.try_send("GET / HTTP/1.1\r\nHost: echo.test\r\n\r\n") && visitor.answer().status == 200
}

fn world(total: usize, by_source: usize) -> (App, World) {
    let app = echo();
    let world = World::start_with(|settings| {
        settings.connections_max = total;
        settings.connections_by_source_max = by_source;
    });
    world.serve(vec![route("echo", &[&app])]);
    (app, world)
}

#[test]
fn half_sent_heads_of_many_sources_leave_room_for_a_visitor() {
    let (_app, world) = world(50, 20);
    let held: Vec<_> = (0..400_u16).map(|number| half_sent_head(&world, (number % 100) as u8 + 1)).collect();

    for last in 201..=210 {
        assert!(is_served(&world, last));
    }
    drop(held);
}

#[test]
fn half_sent_heads_of_one_source_leave_room_for_others_and_for_its_own() {
    let (_app, world) = world(50, 20);
    let held: Vec<_> = (0..400).map(|_| half_sent_head(&world, 1)).collect();

    assert!(is_served(&world, 2));
    assert!(is_served(&world, 1));
    let connections = world
        .metrics()
        .lines()
        .find_map(|line| line.strip_prefix("workflow_router_connections ")?.parse::<usize>().ok());
    assert!(connections.expect("they are counted") <= 25, "{connections:?}");
    drop(held);
}

#[test]
fn the_longest_idle_connection_makes_room_and_the_newest_stays() {
    let app = echo();
    let world = World::start_with(|settings| {
        settings.workers = 1;
        settings.connections_max = 2;
    });
    world.serve(vec![route("echo", &[&app])]);
    let ask = |visitor: &mut Visitor| {
        visitor.send("GET / HTTP/1.1\r\nHost: echo.test\r\n\r\n");
        visitor.answer().status
    };
    let (mut first, mut second) = (Visitor::connect(&world), Visitor::connect(&world));
    assert_eq!((ask(&mut first), ask(&mut second)), (200, 200));

    let mut third = Visitor::connect(&world);

    assert_eq!(ask(&mut third), 200);
    assert!(first.is_closed());
    assert_eq!(ask(&mut second), 200);
}

#[test]
fn a_trusted_proxy_has_no_share_and_who_it_speaks_for_has() {
    let (_app, world) = world(100, 3);
    let trusted = Network::parse("127.0.7.9").expect("an address");
    world.tell(|rules| rules.trusted_proxies = vec![trusted]);
    let kept: Vec<_> = (0..10).map(|_| half_sent_head(&world, 9)).collect();
    assert!(is_served(&world, 9));
    for mut stream in kept {
        stream.write_all(b".test\r\nConnection: close\r\n\r\n").expect("it is open");
        assert!(!is_closed(&mut stream));
    }

    world.tell(|rules| rules.proxy_protocol = true);
    let say = |number: u8| {
        let mut stream = from(&world, 9);
        let line = format!("PROXY TCP4 192.0.2.{number} 127.0.0.1 5000 80\r\nGET / HTTP/1.1\r\n");
        stream.write_all(line.as_bytes()).expect("it is open");
        stream
    };
    let mut one: Vec<_> = (0..4).map(|_| say(1)).collect();
    let mut other = say(2);
    other.write_all(b"Host: echo.test\r\nConnection: close\r\n\r\n").expect("it is open");
    assert!(!is_closed(&mut other));
    let mut closed = || {
        let closed = one.iter_mut().map(|stream| {
            stream.set_read_timeout(Some(Duration::from_millis(200))).expect("a timeout");
            is_closed(stream)
        });
        closed.filter(|closed| *closed).count()
    };
    // Workers read what came to them in their own time.
    let until = Instant::now() + Duration::from_secs(20);
    let mut count = closed();
    while count == 0 && Instant::now() < until {
        count = closed();
    }
    // A worker that is asked again before the end of the first one is seen ends one more.
    assert!((1..=2).contains(&count), "four are one too many, {count} were ended");
}

#[test]
fn requests_of_one_connection_over_http2_take_of_their_sources_share() {
    let (go_on, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let app = App::start("echo", move |request| {
        // Ends for all when the test drops its end.
        let _ = wait.lock().expect("not poisoned").recv();
        request.answer("done");
        true
    });
    let world = World::start_with(|settings| settings.connections_by_source_max = 3);
    world.serve(vec![route("echo", &[&app])]);
    let mut http2 = Http2::connect(&world, &http2_of(&world));
    let fields = [(":method", "GET"), (":scheme", "https"), (":authority", "echo.test"), (":path", "/")];
    for stream in [1, 3, 5] {
        http2.send(HEADERS, END_HEADERS | END_STREAM, stream, &block(&fields));
    }

    assert_eq!(http2.ask(7, &fields), Outcome::OtherStatus);
    assert_eq!(http2.body(7), "too many requests at once from your address\n");
    drop(go_on);
    assert_eq!(http2.outcome(1), Outcome::Status(200));
}

#[test]
fn a_head_that_comes_too_slowly_is_told_so() {
    let world = World::start_with(|settings| {
        settings.head_rate = LeastRate { bytes_per_second: 1_000_000, grace: Duration::from_millis(300) };
    });
    let mut visitor = Visitor::connect(&world);
    visitor.send("GET / HTTP/1.1\r\nHost: echo");

    assert_eq!(visitor.answer().status, 408);
    assert!(visitor.is_closed());
}

#[test]
fn requests_wait_where_there_are_no_more_connections_to_apps() {
    let (go_on, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let app = App::start("echo", move |request| {
        if request.head.starts_with("GET /slow") {
            wait.lock().expect("not poisoned").recv().expect("the test says when");
        }
        request.answer("done");
        true
    });
    let world = World::start_with(|settings| settings.upstreams_max = 1);
    world.serve(vec![route("echo", &[&app])]);
    let mut slow = Visitor::connect(&world);
    slow.send("GET /slow HTTP/1.1\r\nHost: echo.test\r\n\r\n");
    world.wait_for_metric("under_way{app=\"echo\"} 1");
    let mut other = Visitor::connect(&world);
    other.send("GET / HTTP/1.1\r\nHost: echo.test\r\n\r\n");
    go_on.send(()).expect("the app waits");

    assert_eq!(slow.answer().body, "done");
    assert_eq!(other.answer().body, "done");
    // An idle one is closed for a request that comes by the other way or worker.
    for _ in 0..10 {
        assert_eq!(get(&world, "echo.test", "/").status, 200);
        let mut long = Visitor::connect(&world);
        long.send(&format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"));
        assert_eq!(long.answer().status, 200);
    }
}
