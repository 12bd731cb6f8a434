//! HTTPS seen from visitor and app: redirects, HSTS, forwarded headers, HTTP/2.

use std::sync::Arc;

use http_body_util::{BodyExt as _, Empty};
use hyper::Request;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use rustls::version::TLS13;

use crate::app::{App, header};
use crate::secure::{connect, pair, trusting};
use crate::visitor::{Answer, Visitor, get};
use crate::world::{World, route};

fn echo() -> App {
    App::start("echo", |request| {
        let head = request.head.clone();
        request.body();
        request.answer(&head);
        true
    })
}

fn secure(world: &World, name: &str) -> Visitor {
    let platform = pair(&[name]);
    world.set_platform_certificate(platform.clone());
    connect(world.https_address, name, &platform).expect("TLS works")
}

fn ask(visitor: &mut Visitor, request: &str) -> Answer {
    visitor.send(request);
    visitor.answer()
}

#[test]
fn plain_http_is_sent_to_https_by_its_port_and_with_its_method() {
    let world = World::start();
    let app = echo();
    let mut enforced = route("echo", &[&app]);
    enforced.edge.https_enforced = true;
    world.serve(vec![enforced]);
    let port = world.https_address.port();

    let got = get(&world, "echo.test:8000", "/a?b=c");
    assert_eq!(got.status, 301);
    let location = format!("https://echo.test:{port}/a?b=c");
    assert_eq!(header(&got.head, "location"), Some(location.as_str()));
    let posted = ask(
        &mut Visitor::connect(&world),
        "POST /form HTTP/1.1\r\nHost: echo.test\r\nContent-Length: 0\r\n\r\n",
    );
    assert_eq!(posted.status, 308);
    let chat = "GET /chat HTTP/1.1\r\nHost: echo.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let chat = ask(&mut Visitor::connect(&world), chat);
    assert!(
        header(&chat.head, "location").is_some_and(|to| to.starts_with("wss://echo.test:")),
        "{}",
        chat.head
    );
    assert_eq!(app.count(), 0);

    let mut visitor = secure(&world, "echo.test");
    assert_eq!(ask(&mut visitor, "GET / HTTP/1.1\r\nHost: echo.test\r\n\r\n").status, 200);
}

#[test]
fn the_app_learns_that_it_is_asked_over_https() {
    let world = World::start();
    let app = echo();
    world.serve(vec![route("echo", &[&app])]);
    let mut visitor = secure(&world, "echo.test");

    let seen = ask(&mut visitor, "GET / HTTP/1.1\r\nHost: echo.test\r\nX-Forwarded-Proto: http\r\n\r\n").body;

    assert_eq!(header(&seen, "x-forwarded-proto"), Some("https"));
    assert_eq!(header(&seen, "x-forwarded-port"), Some(&*world.https_address.port().to_string()));
}

#[test]
fn hsts_is_said_over_https_alone_and_enforces_it() {
    let world = World::start();
    let app = echo();
    let mut strict = route("echo", &[&app]);
    (strict.rules.hsts, strict.rules.hsts_seconds) = (Some(true), Some(60));
    world.serve(vec![strict]);

    let plain = get(&world, "echo.test", "/");
    assert_eq!((plain.status, header(&plain.head, "strict-transport-security")), (301, None));
    let mut visitor = secure(&world, "echo.test");
    let answer = ask(&mut visitor, "GET / HTTP/1.1\r\nHost: echo.test\r\n\r\n");
    assert_eq!(header(&answer.head, "strict-transport-security"), Some("max-age=60"));
}

/// Asks twice over HTTP/2; gives what the app saw each time, or `None` where it was not agreed upon.
async fn over_http2(world: &World, config: Arc<rustls::ClientConfig>) -> Option<Vec<String>> {
    let stream = tokio::net::TcpStream::connect(world.https_address).await.expect("it listens");
    let name = ServerName::try_from("echo.test").expect("a name");
    let stream = tokio_rustls::TlsConnector::from(config).connect(name, stream).await.expect("TLS works");
    if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
        return None;
    }
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("HTTP/2 works");
    tokio::spawn(connection);
    let mut seen = Vec::new();
    for path in ["one", "two"] {
        let request = Request::get(format!("https://echo.test/{path}"))
            .header("cookie", "a=1")
            .header("cookie", "b=2")
            .body(Empty::<bytes::Bytes>::new());
        let answer = sender.send_request(request.expect("a request")).await.expect("an answer");
        assert_eq!(answer.status(), 200);
        let body = answer.into_body().collect().await.expect("a body").to_bytes();
        seen.push(String::from_utf8(body.to_vec()).expect("UTF-8"));
    }
    Some(seen)
}

#[test]
fn http2_is_spoken_with_visitors_and_http1_with_apps() {
    let world = World::start();
    let app = echo();
    world.serve(vec![route("echo", &[&app])]);
    let platform = pair(&["echo.test"]);
    world.set_platform_certificate(platform.clone());
    let config = trusting(&platform, &[&TLS13], &["h2", "http/1.1"]);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");

    let seen = runtime.block_on(over_http2(&world, Arc::clone(&config))).expect("HTTP/2 is agreed upon");

    assert!(seen[1].starts_with("GET /two HTTP/1.1\r\n"), "{}", seen[1]);
    for (name, value) in [("host", "echo.test"), ("cookie", "a=1; b=2"), ("x-forwarded-proto", "https")] {
        assert_eq!(header(&seen[0], name), Some(value), "{}", seen[0]);
    }
    world.tell(|rules| rules.http2 = false);
    assert_eq!(runtime.block_on(over_http2(&world, config)), None);
}
