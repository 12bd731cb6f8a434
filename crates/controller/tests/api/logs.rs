//! `/v2/apps/{app}/logs` (docs/spec/api.md 4.13), before a logger of the test's own.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use futures_util::stream;
use testkit::{WAIT_MAX, wait_until};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::watch;

use crate::platform::TestPlatform;
use crate::world::{FORBIDDEN, NO_APP, World};

type LoggerRequests = Arc<Mutex<Vec<String>>>;

/// Answers everything with one status, and keeps what it was asked.
async fn logger(status: StatusCode) -> (String, LoggerRequests) {
    let asked = LoggerRequests::default();
    let answer = move |State(asked): State<LoggerRequests>, request: Request| async move {
        let (method, uri) = (request.method().clone(), request.uri().clone());
        asked.lock().expect("no test panics with it").push(format!("{method} {uri}"));
        (status, if status == StatusCode::OK { "one\ntwo é\n" } else { "" })
    };
    serve(Router::new().fallback(answer).with_state(asked.clone()), asked).await
}

/// Answers a follower as the logger does, in two pieces, and then breaks off.
async fn followed() -> (String, LoggerRequests) {
    let asked = LoggerRequests::default();
    let answer = move |State(asked): State<LoggerRequests>, request: Request| async move {
        asked.lock().expect("no test panics with it").push(request.uri().to_string());
        let pieces = ["{\"id\":7,\"line\":\"one é\"}\n", "{\"dropped\":3}\n"];
        Body::from_stream(stream::iter(pieces.map(Ok::<_, Infallible>)))
    };
    serve(Router::new().fallback(answer).with_state(asked.clone()), asked).await
}

async fn serve(router: Router, asked: LoggerRequests) -> (String, LoggerRequests) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(axum::serve(listener, router).into_future());
    (format!("http://{address}"), asked)
}

async fn world(logger_url: Option<String>) -> World {
    World::on(TestPlatform::with(|settings| settings.logger_url = logger_url).await).await
}

#[tokio::test]
async fn lines_are_relayed_as_the_logger_gives_them() {
    let (url, asked) = logger(StatusCode::OK).await;
    let world = world(Some(url)).await;

    let log = world.get("/v2/apps/blog/logs").await;
    for query in ["?log_lines=7", "?log_lines=x&log_lines=-1"] {
        assert_eq!(world.get(&format!("/v2/apps/blog/logs{query}")).await.status, 200);
    }

    assert_eq!(log.both(), (200, "one\ntwo é\n"));
    assert_eq!(log.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(
        *asked.lock().expect("no test panics with it"),
        ["GET /logs/blog?log_lines=100", "GET /logs/blog?log_lines=7", "GET /logs/blog?log_lines=100"]
    );
}

#[tokio::test]
async fn no_lines_are_no_content() {
    for status in [StatusCode::NO_CONTENT, StatusCode::NOT_FOUND] {
        let world = world(Some(logger(status).await.0)).await;

        assert_eq!(world.get("/v2/apps/blog/logs").await.both(), (204, ""));
    }
}

#[tokio::test]
async fn a_logger_that_fails_is_an_error_in_plain_text() {
    let refusing = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        format!("http://{}", listener.local_addr().expect("an address"))
    };
    for url in [Some(logger(StatusCode::BAD_GATEWAY).await.0), Some(refusing), None] {
        let world = world(url).await;

        let log = world.get("/v2/apps/blog/logs").await;

        assert_eq!(log.both(), (500, "Error accessing logs for blog"));
        assert_eq!(log.header("content-type"), Some("text/plain; charset=utf-8"));
    }
}

#[tokio::test]
async fn only_those_who_may_use_the_app_read_its_log() {
    let world = world(Some(logger(StatusCode::OK).await.0)).await;

    assert_eq!(world.platform.get("/v2/apps/blog/logs", &world.bob).await.status, 200);
    assert_eq!(world.platform.get("/v2/apps/blog/logs", &world.carol).await.both(), FORBIDDEN);
    assert_eq!(world.platform.get("/v2/apps/none/logs", &world.carol).await.both(), NO_APP);
}

#[tokio::test]
async fn the_lines_of_a_deleted_app_are_dropped() {
    let (url, asked) = logger(StatusCode::NO_CONTENT).await;
    let world = world(Some(url)).await;

    assert_eq!(world.delete("/v2/apps/blog/").await.status, 204);

    assert_eq!(*asked.lock().expect("no test panics with it"), ["DELETE /logs/blog"]);
}

#[tokio::test]
async fn a_followed_log_is_relayed_as_it_comes() {
    let (url, asked) = followed().await;
    let world = world(Some(url)).await;

    let log = world.get("/v2/apps/blog/logs/follow?log_lines=3").await;
    world.get("/v2/apps/blog/logs/follow?after=7").await;

    assert_eq!(log.both(), (200, "{\"id\":7,\"line\":\"one é\"}\n{\"dropped\":3}\n"));
    assert_eq!(log.header("content-type"), Some("application/x-ndjson"));
    let asked = asked.lock().expect("no test panics with it");
    assert_eq!(*asked, ["/logs/blog/follow?log_lines=3", "/logs/blog/follow?log_lines=100&after=7"]);
}

#[tokio::test]
async fn a_logger_that_cannot_be_followed_is_an_error() {
    for url in [Some(logger(StatusCode::SERVICE_UNAVAILABLE).await.0), None] {
        let log = world(url).await.get("/v2/apps/blog/logs/follow").await;

        assert_eq!(log.both(), (500, "Error accessing logs for blog"));
    }
}

#[tokio::test]
async fn followers_do_not_hold_up_the_end_of_the_controller() {
    let endless = async || Body::from_stream(stream::pending::<Result<String, Infallible>>());
    let (url, _) = serve(Router::new().fallback(endless), LoggerRequests::default()).await;
    let world = world(Some(url)).await;
    let (stop, stopping) = watch::channel(false);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let public = controller::public_router(world.platform.controller.clone());
    let serving = tokio::spawn(controller::serve(listener, public, stopping));

    let mut client = tokio::net::TcpStream::connect(address).await.expect("it listens");
    let request = format!(
        "GET /v2/apps/blog/logs/follow HTTP/1.1\r\nHost: x\r\nAuthorization: token {}\r\n\r\n",
        world.alice
    );
    client.write_all(request.as_bytes()).await.expect("it reads");
    let mut head = [0; 15];
    client.read_exact(&mut head).await.expect("it answers");
    assert_eq!(&head, b"HTTP/1.1 200 OK");
    stop.send_replace(true);

    let ended = tokio::time::timeout(std::time::Duration::from_secs(20), serving).await;
    ended.expect("the follower is sent away").expect("no panic").expect("it served");
}

/// A logger whose logs grow for ever without a line.
async fn silent() -> String {
    let endless = async || Body::from_stream(stream::pending::<Result<String, Infallible>>());
    serve(Router::new().fallback(endless), LoggerRequests::default()).await.0
}

/// Follows the log of the blog; the connection, once the answer has begun.
async fn follower(address: std::net::SocketAddr, token: &str) -> (tokio::net::TcpStream, String) {
    let mut client = tokio::net::TcpStream::connect(address).await.expect("it listens");
    let request =
        format!("GET /v2/apps/blog/logs/follow HTTP/1.1\r\nHost: x\r\nAuthorization: token {token}\r\n\r\n");
    client.write_all(request.as_bytes()).await.expect("it reads");
    let mut head = [0; 12];
    client.read_exact(&mut head).await.expect("it answers");
    (client, String::from_utf8_lossy(&head[9..]).into_owned())
}

#[tokio::test]
async fn a_followed_log_ends_at_once_with_the_access_of_its_reader() {
    let world = world(Some(silent().await)).await;
    let address = world.platform.serve().await;
    let (mut bobs, status) = follower(address, &world.bob).await;
    assert_eq!(status, "200");
    let (alices, _) = follower(address, &world.alice).await;

    assert_eq!(world.delete("/v2/apps/blog/perms/bob").await.status, 204);

    let mut rest = Vec::new();
    let ended = tokio::time::timeout(std::time::Duration::from_secs(20), async {
        // The last chunk of the answer.
        while !rest.ends_with(b"0\r\n\r\n") {
            assert_ne!(bobs.read_buf(&mut rest).await.expect("it is well"), 0);
        }
    });
    ended.await.expect("it ends");
    // Both looked again at the same moment; the owner's goes on.
    let mut rest = vec![0; 4096];
    let read = alices.try_read(&mut rest).unwrap_or_default();
    assert!(!rest[..read].ends_with(b"0\r\n\r\n"), "the owner's goes on");
    assert_eq!(follower(address, &world.bob).await.1, "403");
}

#[tokio::test]
async fn one_user_does_not_take_all_followed_logs() {
    let world = world(Some(silent().await)).await;
    let address = world.platform.serve().await;
    let mut open = Vec::new();
    for _ in 0..50 {
        let (client, status) = follower(address, &world.bob).await;
        assert_eq!(status, "200");
        open.push(client);
    }

    assert_eq!(follower(address, &world.bob).await.1, "429");
    assert_eq!(follower(address, &world.alice).await.1, "200");
    open.pop();
    let has_room = async || follower(address, &world.bob).await.1 == "200";
    wait_until("there is room for one more", WAIT_MAX, has_room).await;
}
