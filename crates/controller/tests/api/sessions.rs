//! Sessions over a WebSocket: `/v2/apps/{app}/run/terminal` and `…/pods/{type}/{name}/exec`.

use api::terminal::{End, Frame, MESSAGE_BYTES_MAX, SUBPROTOCOL, Size, Start, close};
use futures_util::{SinkExt as _, StreamExt as _};
use std::time::Duration;
use testkit::{WAIT_MAX, wait_until};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use axum::http::Method;

use crate::platform::request;
use crate::world::World;

const TERMINAL: &str = "/v2/apps/blog/run/terminal";
const SIZE: Size = Size { columns: 80, rows: 24 };

/// A client of one session.
struct Client(WebSocketStream<TcpStream>);

impl Client {
    async fn open(world: &World, path: &str, token: &str) -> Result<Self, Error> {
        Self::open_at(world.platform.serve().await, path, token).await
    }

    async fn open_at(address: std::net::SocketAddr, path: &str, token: &str) -> Result<Self, Error> {
        let mut request = format!("ws://{address}{path}").into_client_request()?;
        let headers = request.headers_mut();
        headers.insert("authorization", format!("token {token}").parse().expect("a header"));
        headers.insert("sec-websocket-protocol", SUBPROTOCOL.parse().expect("a header"));
        let stream = TcpStream::connect(address).await.expect("it listens");
        let (socket, answer) = client_async(request, stream).await?;
        assert_eq!(answer.headers()["sec-websocket-protocol"], SUBPROTOCOL);
        Ok(Self(socket))
    }

    async fn started(world: &World, path: &str, token: &str, command: &str, terminal: Option<Size>) -> Self {
        let mut client = Self::open(world, path, token).await.expect("they may");
        client.start(command, terminal).await;
        client
    }

    async fn start(&mut self, command: &str, terminal: Option<Size>) {
        let term = "vt100".to_owned();
        self.send(&Frame::Start(Start { command: command.to_owned(), terminal, term })).await;
    }

    async fn send(&mut self, frame: &Frame) {
        self.0.send(Message::Binary(frame.encode().into())).await.expect("it is open");
    }

    async fn types(&mut self, line: &str) {
        self.send(&Frame::Stdin(format!("{line}\n").into_bytes())).await;
    }

    async fn next(&mut self) -> Message {
        let next = tokio::time::timeout(Duration::from_secs(20), self.0.next()).await;
        next.expect("it says something").expect("it is open").expect("it is well")
    }

    async fn frame(&mut self) -> Frame {
        loop {
            match self.next().await {
                Message::Binary(message) => return Frame::decode(&message).expect("a frame"),
                Message::Ping(_) => {}
                other => panic!("no frame: {other:?}"),
            }
        }
    }

    async fn sees(&mut self, text: &str) {
        assert_eq!(self.frame().await, Frame::Stdout(text.as_bytes().to_vec()));
    }

    /// The last frame and the code of the close.
    async fn end(&mut self) -> (End, u16) {
        let Frame::End(end) = self.frame().await else { panic!("no end") };
        match self.next().await {
            Message::Close(Some(CloseFrame { code, .. })) => (end, code.into()),
            other => panic!("no close: {other:?}"),
        }
    }
}

fn exited(code: i64) -> (End, u16) {
    (End { exit_code: Some(code), error: None }, close::ENDED)
}

fn failed(code: u16, error: &str) -> (End, u16) {
    (End { exit_code: None, error: Some(error.to_owned()) }, code)
}

async fn deployed() -> World {
    let world = World::new().await;
    world.post("/v2/apps/blog/config/", r#"{"values":{"COLOR":"teal"}}"#).await;
    world.deploy("blog", "example/web").await;
    world
}

#[tokio::test]
async fn a_command_runs_in_a_terminal_with_the_apps_environment_and_who_ran_it_is_told() {
    let world = deployed().await;

    let mut client = Client::started(&world, TERMINAL, &world.bob, "bash -l", Some(SIZE)).await;
    client.types("size").await;
    client.sees("size: 24 80\r\n").await;
    client.send(&Frame::Resize(Size { columns: 100, rows: 0 })).await;
    client.types("size").await;
    client.sees("size: 1 100\r\n").await;
    for (name, value) in [("COLOR", "teal"), ("TERM", "vt100"), ("DEIS_APP", "blog")] {
        client.types(&format!("env {name}")).await;
        client.sees(&format!("env: {value}\r\n")).await;
    }
    client.types("exit 7").await;

    assert_eq!(client.end().await, exited(7));
    let one_off = world.platform.engine.asked().runs.pop().expect("a run");
    assert_eq!(one_off.command, Some(["/bin/bash", "-c", "bash -l"].map(str::to_owned).to_vec()));
    let said = || world.platform.said("blog");
    let is_told = async || said().last().is_some_and(|line| line.ends_with("ended with exit code 7"));
    wait_until("the end is told", WAIT_MAX, is_told).await;
    assert!(said().contains(&format!("bob on {} runs 'bash' in a terminal", one_off.name)), "{:?}", said());
}

#[tokio::test]
async fn without_a_terminal_the_input_has_an_end() {
    let world = deployed().await;

    let mut client = Client::started(&world, TERMINAL, &world.alice, "cat", None).await;
    client.types("size").await;
    client.sees("size: none\n").await;
    client.send(&Frame::EndOfInput).await;
    client.sees("end of input\n").await;

    assert_eq!(client.end().await, exited(0));
}

#[tokio::test]
async fn a_command_runs_in_a_pod_by_its_full_and_by_its_short_name() {
    let world = deployed().await;
    let pod =
        world.get("/v2/apps/blog/pods/").await.json()["results"][0]["name"].as_str().expect("one").to_owned();
    for name in [pod.as_str(), pod.strip_prefix("blog-").expect("its app")] {
        let path = format!("/v2/apps/blog/pods/cmd/{name}/exec");
        let mut client = Client::started(&world, &path, &world.bob, "sh", Some(SIZE)).await;
        client.types("env COLOR").await;
        client.sees("env: teal\r\n").await;
        client.types("exit 0").await;
        assert_eq!(client.end().await, exited(0));
    }
    let inside = world.platform.engine.asked().inside.pop().expect("a command");
    assert_eq!((inside.pod, inside.term.as_str()), (pod, "vt100"));
    assert_eq!(inside.command.last().map(String::as_str), Some("sh"));

    let missing = world.get("/v2/apps/blog/pods/cmd/blog-cmd-0-0/exec").await;
    assert_eq!(missing.both(), (404, r#""No Pod matches the given query.""#));
}

#[tokio::test]
async fn a_client_that_hangs_up_ends_its_process() {
    let world = deployed().await;
    let mut client = Client::started(&world, TERMINAL, &world.alice, "bash", Some(SIZE)).await;
    client.types("hello").await;
    client.sees("got: hello\r\n").await;

    drop(client);

    hung_up(&world).await;
    let is_told = async || world.platform.said("blog").last().is_some_and(|line| line.ends_with("hung up"));
    wait_until("the end is told", WAIT_MAX, is_told).await;
}

#[tokio::test]
async fn sessions_end_with_the_controller() {
    let world = deployed().await;
    let (stop, stopping) = tokio::sync::watch::channel(false);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let public = controller::public_router(world.platform.controller.clone());
    let serving = tokio::spawn(controller::serve(listener, public, stopping));
    let mut client = Client::open_at(address, TERMINAL, &world.alice).await.expect("she may");
    client.start("bash", Some(SIZE)).await;
    client.types("hello").await;
    client.sees("got: hello\r\n").await;

    stop.send_replace(true);

    let words = "the controller is restarted, start the command again";
    assert_eq!(client.end().await, failed(close::AWAY, words));
    drop(client);
    serving.await.expect("no panic").expect("it served");
    assert_eq!(world.platform.engine.asked().hung_up, 1);
}

#[tokio::test]
async fn what_the_protocol_does_not_know_ends_the_session() {
    let world = deployed().await;
    for (message, reason) in [
        (Message::Binary(vec![9].into()), "there is no channel 9"),
        (Message::Text("hello".into()), "messages of this protocol are binary"),
        (
            Message::Binary(Frame::Stdout(Vec::new()).encode().into()),
            "this message is for the server to send, or the first",
        ),
    ] {
        let mut client = Client::started(&world, TERMINAL, &world.alice, "bash", None).await;
        client.0.send(message).await.expect("it is open");
        assert_eq!(client.end().await, failed(close::WRONG, reason));
    }
    let mut client = Client::started(&world, TERMINAL, &world.alice, "bash", None).await;
    client.send(&Frame::Stdin(vec![b'x'; MESSAGE_BYTES_MAX])).await;
    let (end, code) = client.end().await;
    assert!(code == close::WRONG && end.error.is_some(), "{code} {end:?}");

    for first in [
        Frame::Stdin(b"ls\n".to_vec()),
        Frame::Start(Start { command: String::new(), terminal: None, term: String::new() }),
    ] {
        let mut client = Client::open(&world, TERMINAL, &world.alice).await.expect("she may");
        client.send(&first).await;
        assert_eq!(client.end().await, failed(close::WRONG, "the first message is no command"));
    }
}

#[tokio::test]
async fn an_engine_that_is_away_is_told() {
    let world = deployed().await;
    let mut client = Client::open(&world, TERMINAL, &world.alice).await.expect("she may");
    world.platform.engine.set_reachable(false);

    client.start("bash", Some(SIZE)).await;

    let (end, code) = client.end().await;
    assert!(code == close::FAILED && end.error.expect("words").contains("the engine is unreachable"));
}

#[tokio::test]
async fn refusals_come_before_the_upgrade() {
    let world = World::new().await;
    for (path, token, status) in [
        (TERMINAL, &world.carol, 403),
        ("/v2/apps/none/run/terminal", &world.carol, 404),
        (TERMINAL, &"x".repeat(40), 401),
        // Nothing is deployed.
        (TERMINAL, &world.alice, 400),
    ] {
        match Client::open(&world, path, token).await {
            Err(Error::Http(answer)) => assert_eq!(answer.status().as_u16(), status, "{path}"),
            other => panic!("{path}: {:?}", other.map(|_| "open")),
        }
    }
    world.deploy("blog", "example/web").await;
    let plain = world.get(TERMINAL).await;
    assert_eq!(plain.status, 426);
    assert_eq!(plain.header("upgrade"), Some("websocket"));
}

/// A session of bob's, which has begun.
async fn bobs_session(world: &World, token: &str) -> Client {
    let mut client = Client::started(world, TERMINAL, token, "bash", Some(SIZE)).await;
    client.types("hello").await;
    client.sees("got: hello\r\n").await;
    client
}

/// Each way in which bob loses the blog: method, path, by whom, body.
#[tokio::test]
async fn a_session_ends_at_once_with_the_access_of_its_user() {
    for (method, path, by, body) in [
        (Method::DELETE, "/v2/apps/blog/perms/bob", "alice", ""),
        (Method::DELETE, "/v2/auth/tokens/", "bob", ""),
        (Method::POST, "/v2/auth/tokens/", "bob", ""),
        (
            Method::POST,
            "/v2/auth/passwd/",
            "admin",
            r#"{"username":"bob","new_password":"new horse staple"}"#,
        ),
        (Method::DELETE, "/v2/auth/cancel/", "admin", r#"{"username":"bob"}"#),
        (Method::DELETE, "/v2/apps/blog/", "alice", ""),
    ] {
        let world = deployed().await;
        let mut client = bobs_session(&world, &world.bob).await;
        let by = [("alice", &world.alice), ("bob", &world.bob), ("admin", &world.admin)]
            .into_iter()
            .find_map(|(name, token)| (name == by).then_some(token))
            .expect("one of them");

        let done = world.platform.send(request(method.clone(), path, by, body)).await;

        assert!(done.status < 300, "{method} {path}: {} {}", done.status, done.text());
        assert_eq!(
            client.end().await,
            failed(close::FORBIDDEN, "your access to this app has ended"),
            "{method} {path}"
        );
        hung_up(&world).await;
    }
}

#[tokio::test]
async fn a_session_ends_with_a_transfer_and_with_the_loss_of_administration() {
    let world = deployed().await;
    let mut owners = bobs_session(&world, &world.alice).await;
    let mut admins = bobs_session(&world, &world.admin).await;

    let given = world.post("/v2/apps/blog/", r#"{"owner":"carol"}"#).await;
    assert_eq!(given.status, 200);
    assert_eq!(owners.end().await.1, close::FORBIDDEN);

    let revoked = world.platform.delete("/v2/admin/perms/admin", &world.admin).await;
    assert_eq!(revoked.status, 204);
    assert_eq!(admins.end().await.1, close::FORBIDDEN);
}

#[tokio::test]
async fn a_session_goes_on_when_others_lose_access_and_when_its_own_token_changes_the_password() {
    let world = deployed().await;
    let mut client = bobs_session(&world, &world.bob).await;

    world.platform.user("dave").await;
    for (path, body) in [
        ("/v2/auth/tokens/", r#"{"username":"carol"}"#),
        ("/v2/auth/passwd/", r#"{"username":"dave","new_password":"new horse staple"}"#),
    ] {
        assert_eq!(world.platform.post(path, &world.admin, body).await.status, 200);
    }
    let own = r#"{"password":"s3cret horse","new_password":"new horse staple"}"#;
    assert_eq!(world.platform.post("/v2/auth/passwd/", &world.bob, own).await.status, 200);

    client.types("there").await;
    client.sees("got: there\r\n").await;
}

/// The command is named only once the connection is open.
#[tokio::test]
async fn nothing_is_started_for_who_lost_access_before_naming_a_command() {
    let world = deployed().await;
    let mut client = Client::open(&world, TERMINAL, &world.bob).await.expect("he may");
    assert_eq!(world.delete("/v2/apps/blog/perms/bob").await.status, 204);

    client.start("bash", Some(SIZE)).await;

    assert_eq!(client.end().await.1, close::FORBIDDEN);
    assert!(world.platform.engine.asked().runs.is_empty());
}

#[tokio::test]
async fn one_user_does_not_take_all_sessions() {
    let world = deployed().await;
    let mut open = Vec::new();
    for _ in 0..20 {
        open.push(Client::open(&world, TERMINAL, &world.bob).await.expect("his share"));
    }

    match Client::open(&world, TERMINAL, &world.bob).await {
        Err(Error::Http(answer)) => assert_eq!(answer.status().as_u16(), 429),
        other => panic!("{:?}", other.map(|_| "open")),
    }
    assert!(Client::open(&world, TERMINAL, &world.alice).await.is_ok());
}

/// Waits until the engine's session has ended.
async fn hung_up(world: &World) {
    let has_ended = async || world.platform.engine.asked().hung_up == 1;
    wait_until("the session has ended", WAIT_MAX, has_ended).await;
}
