use std::net::SocketAddr;

use http_body_util::BodyExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{Notify, oneshot};

use super::*;

const HALF_A_HEAD: &str = "GET / HTTP/1.1\r\nHost: x\r\nX-Half:";
const ASK: &str = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

fn loopback() -> Vec<Network> {
    vec!["127.0.0.0/8".parse().expect("a range")]
}

/// Serves until the test's runtime ends.
async fn listening<F>(
    limits: HttpLimits,
    handler: impl Fn(Request<RequestBody>) -> F + Send + Sync + 'static,
) -> SocketAddr
where
    F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(serve(listener, limits, handler, std::future::pending()));
    address
}

/// Reads the body whole and says how long it was.
async fn length(request: Request<RequestBody>) -> Response<Full<Bytes>> {
    match request.into_body().collect().await {
        Ok(body) => Response::new(Full::from(body.to_bytes().len().to_string())),
        Err(error) => {
            let mut answer = Response::new(Full::from(error.to_string()));
            *answer.status_mut() = error.status();
            answer
        }
    }
}

async fn open(address: SocketAddr, first: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    stream.write_all(first.as_bytes()).await.expect("it is taken");
    stream
}

async fn rest_of(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    // A connection that is reset has sent its response before.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

async fn ask(address: SocketAddr, request: &str) -> String {
    rest_of(open(address, request).await).await
}

#[tokio::test]
async fn a_newcomer_is_answered_while_half_sent_requests_hold_every_place() {
    let few = HttpLimits { connections_max: 8, connections_by_source_max: 8, ..HttpLimits::default() };
    let half_a_body = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf";
    let half_a_large_body = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\nhalf";
    let too_large = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n\r\nhalf";
    for (limits, half) in [
        (few.clone(), HALF_A_HEAD),
        (few.clone(), half_a_body),
        (few.clone(), half_a_large_body),
        (few.clone(), too_large),
        (HttpLimits { bodies: None, ..few.clone() }, half_a_large_body),
        (HttpLimits { trusted_proxies: loopback(), ..few.clone() }, HALF_A_HEAD),
        (HttpLimits { connections_by_source_max: 2, ..few }, half_a_body),
    ] {
        let address = listening(limits, length).await;
        let mut held = Vec::new();
        for _ in 0..30 {
            held.push(open(address, half).await);
        }

        assert!(ask(address, ASK).await.starts_with("HTTP/1.1 200 "), "{half}");
    }
}

/// As from this address of the loopback network.
async fn open_from(last: u8, address: SocketAddr, first: &str) -> TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind(SocketAddr::from(([127, 0, 0, last], 0))).expect("an address of this machine");
    let mut stream = socket.connect(address).await.expect("it listens");
    // It may be closed already.
    let _ = stream.write_all(first.as_bytes()).await;
    stream
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn half_sent_requests_of_many_sources_cost_nobody_else_an_answer() {
    let limits = HttpLimits {
        connections_max: 64,
        connections_by_source_max: 16,
        requests_by_source_max: 8,
        ..HttpLimits::default()
    };
    let address = listening(limits, length).await;
    let mut floods = JoinSet::new();
    for flood in 0..4_u8 {
        floods.spawn(async move {
            let mut held = std::collections::VecDeque::new();
            for number in (0..25).cycle() {
                let length = if number % 2 == 0 { 60 } else { 60_000 };
                let half = format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\nhalf");
                held.push_back(open_from(2 + flood * 5 + number % 5, address, &half).await);
                if held.len() > 64 {
                    held.pop_front();
                }
            }
        });
    }
    for _ in 0..300 {
        let told = ask(address, ASK).await;
        assert!(told.starts_with("HTTP/1.1 200 "), "{told}");
    }
    floods.abort_all();
}

/// An answer without an end.
struct Endless;

impl Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        std::task::Poll::Ready(Some(Ok(http_body::Frame::data(Bytes::from_static(&[0; 16 << 10])))))
    }
}

#[tokio::test]
async fn clients_that_do_not_take_their_answers_make_room_for_others() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let handler = async |request: Request<RequestBody>| {
        let is_endless = request.uri().path() == "/endless";
        Response::new(if is_endless {
            Either::Left(Endless)
        } else {
            Either::Right(Full::<Bytes>::default())
        })
    };
    let few = HttpLimits { connections_max: 4, ..HttpLimits::default() };
    tokio::spawn(serve(listener, few, handler, std::future::pending()));
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(open(address, "GET /endless HTTP/1.1\r\nHost: x\r\n\r\n").await);
    }

    let answered = async { while !ask(address, ASK).await.starts_with("HTTP/1.1 200 ") {} };
    tokio::time::timeout(Duration::from_secs(60), answered).await.expect("one that is not taken makes room");
    drop(held);
}

#[tokio::test]
async fn a_client_that_never_ends_its_head_or_body_is_let_go() {
    let quick = Duration::from_millis(100);
    let bodies = Some(BodyLimits { timeout: quick, ..BodyLimits::default() });
    let address =
        listening(HttpLimits { head_timeout: quick, bodies, ..HttpLimits::default() }, length).await;

    assert_eq!(ask(address, HALF_A_HEAD).await, "");
    for length in [9, 60_000] {
        let slow = format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\nhalf");
        let told = ask(address, &slow).await;
        assert!(told.starts_with("HTTP/1.1 408 "), "{told}");
    }
    let long = format!("GET / HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n\r\n", "x".repeat(20_000));
    assert!(ask(address, &long).await.starts_with("HTTP/1.1 431 "));
}

#[tokio::test]
async fn a_body_over_the_bound_is_413_with_a_sentence() {
    let bodies = Some(BodyLimits { bytes_max: 20_000, ..BodyLimits::default() });
    let address = listening(HttpLimits { bodies, ..HttpLimits::default() }, length).await;
    let told = async |length: usize, is_chunked: bool| {
        let head = "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n";
        let body = "x".repeat(length);
        let request = if is_chunked {
            format!("{head}Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n")
        } else {
            format!("{head}Content-Length: {length}\r\n\r\n{body}")
        };
        ask(address, &request).await
    };

    for is_chunked in [false, true] {
        for fine in [0, 5, 16_384, 16_385, 20_000] {
            let told = told(fine, is_chunked).await;
            assert!(
                told.starts_with("HTTP/1.1 200 ") && told.ends_with(&format!("\r\n\r\n{fine}")),
                "{told}"
            );
        }
        for large in [20_001, 2_000_000] {
            let told = told(large, is_chunked).await;
            assert!(told.starts_with("HTTP/1.1 413 "), "{large}: {told}");
            assert!(told.ends_with("Request body is larger than 20000 bytes."), "{told}");
        }
    }
}

#[tokio::test]
async fn one_source_behind_a_proxy_has_its_share_of_requests_and_others_are_answered() {
    let limits =
        HttpLimits { requests_by_source_max: 2, trusted_proxies: loopback(), ..HttpLimits::default() };
    let (begun, go_on) = (Arc::new(tokio::sync::Semaphore::new(0)), Arc::new(Notify::new()));
    let address = {
        let (begun, go_on) = (Arc::clone(&begun), Arc::clone(&go_on));
        listening(limits, move |request| {
            let (begun, go_on) = (Arc::clone(&begun), Arc::clone(&go_on));
            async move {
                if request.uri().path() == "/wait" {
                    begun.add_permits(1);
                    go_on.notified().await;
                }
                Response::new(Full::default())
            }
        })
        .await
    };
    let from = |path: &str, source: &str| {
        format!("GET {path} HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {source}\r\nConnection: close\r\n\r\n")
    };
    let held = (
        open(address, &from("/wait", "2001:db8::1")).await,
        open(address, &from("/wait", "2001:db8::2")).await,
    );
    begun.acquire_many(2).await.expect("it is open").forget();

    let refused = ask(address, &from("/", "2001:db8::3")).await;
    assert!(refused.starts_with("HTTP/1.1 429 ") && refused.contains("\r\nretry-after: 1\r\n"), "{refused}");
    assert!(refused.ends_with(
        r#"{"detail":"Too many requests from this address are under way, try again in a moment."}"#
    ));
    assert!(ask(address, &from("/", "192.0.2.1")).await.starts_with("HTTP/1.1 200 "));
    go_on.notify_waiters();
    assert!(
        rest_of(held.0).await.starts_with("HTTP/1.1 200 ")
            && rest_of(held.1).await.starts_with("HTTP/1.1 200 ")
    );
    assert!(ask(address, &from("/", "2001:db8::3")).await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn large_bodies_of_one_source_hold_its_share_and_give_it_back() {
    let bodies = Some(BodyLimits {
        held_bytes_max: 120_000,
        held_bytes_by_source_max: 60_000,
        ..BodyLimits::default()
    });
    let address =
        listening(HttpLimits { bodies, trusted_proxies: loopback(), ..HttpLimits::default() }, length).await;
    let post = |source: &str, length: usize, sent: usize| {
        format!(
            "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Forwarded-For: {source}\r\n\
             Content-Length: {length}\r\n\r\n{}",
            "x".repeat(sent)
        )
    };
    let held = open(address, &post("192.0.2.1", 50_000, 49_000)).await;
    // The request holds its memory once a second one finds no room.
    loop {
        let told = ask(address, &post("192.0.2.1", 40_000, 40_000)).await;
        if told.starts_with("HTTP/1.1 429 ") {
            break;
        }
    }

    // Half of the room that the first one leaves.
    assert!(ask(address, &post("192.0.2.2", 35_000, 35_000)).await.starts_with("HTTP/1.1 200 "));
    assert!(
        ask(address, &post("192.0.2.1", 16_000, 16_000)).await.starts_with("HTTP/1.1 200 "),
        "small ones fit"
    );
    drop(held);
    while !ask(address, &post("192.0.2.1", 40_000, 40_000)).await.starts_with("HTTP/1.1 200 ") {}
}

#[tokio::test]
async fn requests_under_way_are_answered_at_the_end_and_silent_connections_do_not_hold_it_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let (stop, stopped) = oneshot::channel::<()>();
    let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let handler = {
        let (begun, go_on) = (Arc::clone(&begun), Arc::clone(&go_on));
        move |_| {
            let (begun, go_on) = (Arc::clone(&begun), Arc::clone(&go_on));
            async move {
                begun.notify_one();
                go_on.notified().await;
                Response::new(Full::from("done"))
            }
        }
    };
    let stopped = async { drop(stopped.await) };
    let serving = tokio::spawn(serve(listener, HttpLimits::default(), handler, stopped));
    let _silent = open(address, HALF_A_HEAD).await;
    let asking = open(address, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    begun.notified().await;

    stop.send(()).expect("it serves");
    go_on.notify_one();

    assert!(rest_of(asking).await.ends_with("done"));
    serving.await.expect("no panic");
}
