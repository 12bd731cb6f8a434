//! Apps that speak HTTP/2: gRPC and the like.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use domain::edge::{Protocol, ProxyHeader};
use domain::routing::{Backend, Route, RouteOwner, ServiceRoute};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http2 as client;
use hyper::server::conn::http2 as server;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use rustls::version::TLS13;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::app::{App, header};
use crate::secure::{pair, trusting};
use crate::visitor::{Visitor, get};
use crate::world::{World, route};

type Body = BoxBody<Bytes, Infallible>;
type Frames = mpsc::Sender<Result<Frame<Bytes>, Infallible>>;

/// A body that is sent as the test goes on.
fn body() -> (Frames, Body) {
    let (frames, mut queue) = mpsc::channel::<Result<Frame<Bytes>, Infallible>>(8);
    let stream = futures_util::stream::poll_fn(move |cx| queue.poll_recv(cx));
    (frames, BoxBody::new(StreamBody::new(stream)))
}

async fn send(frames: &Frames, text: &str) {
    frames.send(Ok(Frame::data(Bytes::from(text.to_owned())))).await.expect("somebody reads");
}

async fn end(frames: Frames, name: &'static str, value: &str) {
    let trailers = http::HeaderMap::from_iter([(
        http::HeaderName::from_static(name),
        http::HeaderValue::try_from(value).expect("a value"),
    )]);
    frames.send(Ok(Frame::trailers(trailers))).await.expect("somebody reads");
}

/// Next part of a body: its text, or its trailers as `name=value`; `None` of a body that was aborted.
async fn next(body: &mut Incoming) -> Option<String> {
    let frame = body.frame().await?.ok()?;
    match frame.into_data() {
        Ok(data) => Some(String::from_utf8(data.to_vec()).expect("UTF-8")),
        Err(frame) => {
            let trailers = frame.into_trailers().ok()?;
            let text = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
                format!("{name}={}", value.to_str().expect("text"))
            };
            trailers.iter().map(text).next()
        }
    }
}

/// An app in the manner of gRPC: echoes each message, then says in a trailer how it went and what the request's
/// own trailer was.
struct GrpcApp {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl GrpcApp {
    async fn start(streams_max: u32) -> Self {
        Self::start_with(streams_max, false).await
    }

    /// With a line of the PROXY protocol before each connection, or not.
    async fn start_with(streams_max: u32, has_proxy_header: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                while has_proxy_header && stream.read_u8().await.expect("a line") != b'\n' {}
                let serving = server::Builder::new(TokioExecutor::new())
                    .max_concurrent_streams(streams_max)
                    .serve_connection(TokioIo::new(stream), service_fn(echo));
                tokio::spawn(serving);
            }
        });
        Self { address, connections }
    }

    fn backend(&self) -> Backend {
        Backend { key: "grpc".to_owned(), address: self.address, release: 1 }
    }

    fn route(&self) -> Route {
        let app = domain::AppName::parse("grpc").expect("a good name");
        let mut route = Route::plain(RouteOwner::App(app), "grpc.test".to_owned(), vec![self.backend()]);
        route.rules.protocol = Some(Protocol::H2c);
        route
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

async fn echo(request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let seen = format!(
        "{} {} {} te={:?} xff={:?}",
        request.method(),
        request.uri(),
        request.headers().contains_key("host"),
        request.headers().get("te"),
        request.headers().get("x-forwarded-for"),
    );
    let mut asked = request.into_body();
    let (frames, body) = body();
    tokio::spawn(async move {
        let mut trailer = String::new();
        while let Some(frame) = next(&mut asked).await {
            match frame.strip_prefix("x-last=") {
                Some(value) => trailer = value.to_owned(),
                None => send(&frames, &frame).await,
            }
        }
        end(frames, "grpc-status", &format!("0 {trailer}")).await;
    });
    Ok(Response::builder().header("x-seen", seen).body(body).expect("a response"))
}

/// A visitor's connection of HTTP/2.
async fn connect(world: &World) -> client::SendRequest<Body> {
    let platform = pair(&["grpc.test"]);
    world.set_platform_certificate(platform.clone());
    let config = trusting(&platform, &[&TLS13], &["h2"]);
    let stream = TcpStream::connect(world.https_address).await.expect("it listens");
    let name = ServerName::try_from("grpc.test").expect("a name");
    let stream = tokio_rustls::TlsConnector::from(config).connect(name, stream).await.expect("TLS works");
    let (sender, connection) =
        client::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("HTTP/2 works");
    tokio::spawn(connection);
    sender
}

async fn call(sender: &mut client::SendRequest<Body>) -> (Frames, Response<Incoming>) {
    let (frames, body) = body();
    let request = Request::post("https://grpc.test/pkg.Echo/Chat").body(body).expect("a request");
    let answer = sender.send_request(request).await.expect("an answer");
    (frames, answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_and_trailers_pass_both_ways() {
    let app = GrpcApp::start(200).await;
    let world = World::start();
    world.serve(vec![app.route()]);
    let mut sender = connect(&world).await;

    let (frames, answer) = call(&mut sender).await;

    // The answer has begun before the request has said anything.
    assert_eq!(answer.status(), 200);
    let seen = answer.headers()["x-seen"].to_str().expect("text").to_owned();
    assert!(seen.starts_with("POST http://grpc.test/pkg.Echo/Chat false te=Some(\"trailers\")"), "{seen}");
    assert!(seen.contains("xff=Some(\"127.0.0.1\")"), "{seen}");
    let mut body = answer.into_body();
    for word in ["one", "two"] {
        send(&frames, word).await;
        assert_eq!(next(&mut body).await.as_deref(), Some(word));
    }
    end(frames, "x-last", "bye").await;
    assert_eq!(next(&mut body).await.as_deref(), Some("grpc-status=0 bye"));
    assert_eq!(next(&mut body).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_carries_many_requests_and_another_what_the_app_does_not_take_on_it() {
    let app = GrpcApp::start(2).await;
    let world = World::start_with(|settings| settings.workers = 1);
    world.serve(vec![app.route()]);
    let mut sender = connect(&world).await;
    let mut open = Vec::new();
    for (calls, connections) in [(2, 1), (4, 2)] {
        while open.len() < calls {
            open.push(call(&mut sender).await);
        }
        assert_eq!(app.connections(), connections);
    }

    for (frames, answer) in open {
        end(frames, "x-last", "bye").await;
        let body = answer.into_body().collect().await.expect("a whole body");
        assert!(body.trailers().is_some_and(|trailers| trailers["grpc-status"] == "0 bye"));
    }

    world.wait_for_report(|report| report.in_flight.is_empty());
    let (frames, answer) = call(&mut sender).await;
    world.wait_for_metric("under_way{app=\"grpc\"} 1");
    drop((frames, answer));
    // A call that the visitor gives up is given up at the app.
    world.wait_for_metric("under_way{app=\"grpc\"} 0");
    assert_eq!(app.connections(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_of_http1_reaches_it_too_and_other_paths_may_speak_otherwise() {
    let app = GrpcApp::start(200).await;
    let plain = App::named("plain");
    let world = World::start();
    let mut both = app.route();
    both.services = vec![ServiceRoute {
        path_pattern: "/plain".to_owned(),
        wanted: 1,
        backends: route("plain", &[&plain]).backends,
        protocol: Some(Protocol::Http1),
    }];
    world.serve(vec![both]);

    let asked = tokio::task::spawn_blocking(move || {
        let mut visitor = Visitor::connect(&world);
        visitor
            .send("POST /x HTTP/1.1\r\nHost: grpc.test\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi");
        let whole = visitor.rest();
        (whole, get(&world, "grpc.test", "/plain").body)
    });
    let (whole, elsewhere) = asked.await.expect("no panic");

    assert!(
        header(&whole, "x-seen").is_some_and(|seen| seen.starts_with("POST http://grpc.test/x")),
        "{whole}"
    );
    assert!(whole.contains("\r\n\r\n2\r\nhi\r\n0\r\n"), "{whole}");
    assert_eq!(elsewhere, "plain");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_is_gone_is_left_and_one_that_does_not_speak_http2_is_an_error() {
    let app = GrpcApp::start(200).await;
    let (gone, plain) = (App::gone("gone"), App::named("plain"));
    let world = World::start();
    let mut route = app.route();
    route.backends.push(Backend { key: gone.key.clone(), address: gone.address, release: 1 });
    world.serve(vec![route.clone()]);
    let mut sender = connect(&world).await;

    for _ in 0..10 {
        let (frames, answer) = call(&mut sender).await;
        assert_eq!(answer.status(), 200);
        drop(frames);
    }

    route.backends = vec![Backend { key: plain.key.clone(), address: plain.address, release: 1 }];
    world.serve(vec![route]);
    let (_frames, answer) = call(&mut sender).await;
    assert_eq!(answer.status(), 502);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_proxy_header_each_request_has_a_connection_of_its_own_to_its_end() {
    let app = GrpcApp::start_with(200, true).await;
    let world = World::start();
    let mut route = app.route();
    route.rules.proxy_header = Some(ProxyHeader::V1);
    world.serve(vec![route]);
    let mut sender = connect(&world).await;

    for connections in 1..=2 {
        let (frames, answer) = call(&mut sender).await;
        let mut body = answer.into_body();
        for word in ["one", "two"] {
            send(&frames, word).await;
            assert_eq!(next(&mut body).await.as_deref(), Some(word));
        }
        end(frames, "x-last", "bye").await;
        assert_eq!(next(&mut body).await.as_deref(), Some("grpc-status=0 bye"));
        assert_eq!(app.connections(), connections);
    }
}
