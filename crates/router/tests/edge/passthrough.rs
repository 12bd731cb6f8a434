use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;

use domain::edge::RouterRules;
use domain::routing::RouteTable;
use router::passthrough::{self, PassthroughSettings};
use tokio::sync::watch;

#[test]
fn a_header_of_the_proxy_protocol_is_taken_off() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let target = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = target.local_addr().expect("bound").to_string();
    let door = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a port");
    let door_address = door.local_addr().expect("bound");
    let (_stop, stopping) = watch::channel(false);
    let rules = Arc::new(RouterRules { proxy_protocol: true, ..RouterRules::default() });
    let (_tables, tables) = watch::channel(Arc::new(RouteTable { rules, ..RouteTable::default() }));
    let settings = PassthroughSettings { tables: Some(tables), ..PassthroughSettings::new(address) };
    runtime.spawn(passthrough::run(settings, door, stopping));

    let mut visitor = std::net::TcpStream::connect(door_address).expect("the door is open");
    visitor.write_all(b"PROXY TCP4 192.0.2.7 127.0.0.1 5000 2222\r\nSSH-2").expect("it takes it");
    let (mut server, _) = target.accept().expect("the visitor comes through");

    let mut heard = [0; 5];
    server.read_exact(&mut heard).expect("the visitor's words");
    assert_eq!(&heard, b"SSH-2");
}

#[test]
fn a_connection_waits_for_a_target_that_is_about_to_come_back() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    // Bound and not listening: connections are refused, and nobody else gets the port.
    let target = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    target.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().expect("an address").into()).expect("a port");
    let address = target.local_addr().expect("bound").as_socket().expect("of the Internet");
    let door = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a port");
    let door_address = door.local_addr().expect("bound");
    let (_stop, stopping) = watch::channel(false);
    runtime.spawn(passthrough::run(PassthroughSettings::new(address.to_string()), door, stopping));

    let mut visitor = std::net::TcpStream::connect(door_address).expect("the door is open");
    visitor.write_all(b"hello").expect("it takes it");
    target.listen(1).expect("it listens now");
    let (mut server, _) = TcpListener::from(target).accept().expect("the visitor comes through");

    let mut heard = [0; 5];
    server.read_exact(&mut heard).expect("the visitor's words");
    assert_eq!(&heard, b"hello");
}
