use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use domain::edge::RouterRules;
use domain::routing::RouteTable;
use router::passthrough::{self, PassthroughSettings};
use tokio::sync::watch;

#[test]
fn a_header_of_the_proxy_protocol_is_taken_off() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let target = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = target.local_addr().expect("bound").to_string();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a port");
    let listener_address = listener.local_addr().expect("bound");
    let (_stop, stopping) = watch::channel(false);
    let rules = Arc::new(RouterRules { proxy_protocol: true, ..RouterRules::default() });
    let (_tables, tables) = watch::channel(Arc::new(RouteTable { rules, ..RouteTable::default() }));
    let settings = PassthroughSettings { tables: Some(tables), ..PassthroughSettings::new(address) };
    runtime.spawn(passthrough::run(settings, listener, stopping));

    let mut visitor = std::net::TcpStream::connect(listener_address).expect("the listener is open");
    visitor.write_all(b"PROXY TCP4 192.0.2.7 127.0.0.1 5000 2222\r\nSSH-2").expect("it takes it");
    let (mut server, _) = target.accept().expect("the visitor comes through");

    let mut heard = [0; 5];
    server.read_exact(&mut heard).expect("the visitor's words");
    assert_eq!(&heard, b"SSH-2");
}

#[test]
fn the_builder_is_told_who_connects() {
    use domain::edge::ProxyHeader;
    use listener::proxy_protocol;

    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let target = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a port");
    let address = target.local_addr().expect("bound").to_string();
    for (version, believes_proxies) in
        [(ProxyHeader::V1, false), (ProxyHeader::V2, false), (ProxyHeader::V1, true), (ProxyHeader::V2, true)]
    {
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a port");
        let listener_address = listener.local_addr().expect("bound");
        let (_stop, stopping) = watch::channel(false);
        let rules = Arc::new(RouterRules { proxy_protocol: believes_proxies, ..RouterRules::default() });
        let (_tables, tables) = watch::channel(Arc::new(RouteTable { rules, ..RouteTable::default() }));
        let settings = PassthroughSettings {
            tables: Some(tables),
            proxy_header: Some(version),
            ..PassthroughSettings::new(address.clone())
        };
        runtime.spawn(passthrough::run(settings, listener, stopping));

        // Without a trusted proxy, text that looks like a PROXY header is the client's own.
        let claim = "PROXY TCP4 192.0.2.7 127.0.0.1 5000 2222\r\n";
        let mut visitor = from(listener_address, 9);
        visitor.write_all(format!("{claim}SSH-2").as_bytes()).expect("it takes it");
        let (told, rest) = runtime.block_on(async {
            let (mut server, _) = target.accept().await.expect("the visitor comes through");
            let told = proxy_protocol::read(&mut server).await.expect("a header").expect("an address");
            let mut rest = vec![0; if believes_proxies { 5 } else { claim.len() + 5 }];
            tokio::io::AsyncReadExt::read_exact(&mut server, &mut rest).await.expect("the visitor's words");
            (told, String::from_utf8(rest).expect("text"))
        });

        if believes_proxies {
            assert_eq!((told, rest.as_str()), ("192.0.2.7:5000".parse().expect("an address"), "SSH-2"));
        } else {
            assert_eq!(told, visitor.local_addr().expect("connected"));
            assert_eq!(rest, format!("{claim}SSH-2"));
        }
    }
}

/// A way through to an app of the test, which says back what it hears.
fn echoing(
    change: impl FnOnce(&mut PassthroughSettings),
) -> (tokio::runtime::Runtime, SocketAddr, watch::Sender<bool>) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let target = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = target.local_addr().expect("bound").to_string();
    std::thread::spawn(move || {
        for stream in target.incoming().flatten() {
            std::thread::spawn(move || std::io::copy(&mut &stream, &mut &stream));
        }
    });
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a port");
    let listener_address = listener.local_addr().expect("bound");
    let (stop, stopping) = watch::channel(false);
    let mut settings = PassthroughSettings::new(address);
    change(&mut settings);
    runtime.spawn(passthrough::run(settings, listener, stopping));
    (runtime, listener_address, stop)
}

fn from(listener: SocketAddr, last: u8) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from(([127, 0, 8, last], 0)).into()).expect("an address of this machine");
    socket.connect(&listener.into()).expect("the listener is open");
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    stream
}

fn is_heard(stream: &mut TcpStream) -> bool {
    let mut heard = [0; 5];
    stream.write_all(b"SSH-2").is_ok() && stream.read_exact(&mut heard).is_ok() && &heard == b"SSH-2"
}

fn is_closed(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0]) {
        Ok(count) => count == 0,
        Err(error) => !matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut),
    }
}

#[test]
fn three_hundred_silent_connections_hold_up_no_push() {
    let (_runtime, listener, _stop) = echoing(|settings| settings.newcomers_max = 16);
    let mut pushing = from(listener, 250);
    assert!(is_heard(&mut pushing));
    let mut silent: Vec<_> = (0..300_u16).map(|number| from(listener, (number % 100) as u8)).collect();

    let mut late = from(listener, 251);

    assert!(is_heard(&mut late));
    assert!(is_heard(&mut pushing), "who has spoken stays where others have not");
    assert!(is_closed(&mut silent[0]));
}

#[test]
fn one_source_has_its_share_of_the_way_to_the_builder() {
    let (_runtime, listener, _stop) = echoing(|settings| {
        settings.by_source_max = 3;
    });
    let mut ours: Vec<_> = (0..3).map(|_| from(listener, 1)).collect();
    assert!(ours.iter_mut().all(is_heard));

    let mut more = from(listener, 1);
    assert!(is_closed(&mut more));
    assert!(is_heard(&mut from(listener, 2)));
    assert!(ours.iter_mut().all(is_heard));
}

#[test]
fn a_connection_that_says_nothing_is_closed() {
    let (_runtime, listener, _stop) =
        echoing(|settings| settings.first_word_timeout = Duration::from_millis(200));
    let mut speaking = from(listener, 1);
    assert!(is_heard(&mut speaking));

    assert!(is_closed(&mut from(listener, 1)));
    assert!(is_heard(&mut speaking));
}

#[test]
fn a_connection_waits_for_a_target_that_is_about_to_come_back() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    // Bound and not listening: connections are refused, and nobody else gets the port.
    let target = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    target.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().expect("an address").into()).expect("a port");
    let address = target.local_addr().expect("bound").as_socket().expect("of the Internet");
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a port");
    let listener_address = listener.local_addr().expect("bound");
    let (_stop, stopping) = watch::channel(false);
    runtime.spawn(passthrough::run(PassthroughSettings::new(address.to_string()), listener, stopping));

    let mut visitor = std::net::TcpStream::connect(listener_address).expect("the listener is open");
    visitor.write_all(b"hello").expect("it takes it");
    target.listen(1).expect("it listens now");
    let (mut server, _) = TcpListener::from(target).accept().expect("the visitor comes through");

    let mut heard = [0; 5];
    server.read_exact(&mut heard).expect("the visitor's words");
    assert_eq!(&heard, b"hello");
}
