//! Outgoing deploy hooks (docs/spec/api.md 5.9).

use std::time::Duration;

use controller::Secret;
use domain::deploy_hooks::signature;
use testkit::wait_until;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::platform::TestPlatform;
use crate::world::World;

const TIMEOUT: Duration = Duration::from_secs(20);

/// A receiver of hooks, and a world that tells it.
async fn with_hook(answer: &'static str) -> (World, TcpListener, String) {
    let receiver = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/hook?token=planted", receiver.local_addr().expect("an address"));
    let hook = url.clone();
    let platform = TestPlatform::with(|settings| {
        settings.deploy_hook_urls = vec![Secret::new(hook)];
        settings.deploy_hook_secret = Some(Secret::new("hook-secret"));
    });
    let world = timeout(TIMEOUT, async {
        let world = World::on(platform.await).await;
        let told = receive(&receiver, answer).await;
        assert!(
            told[0].contains("&release=v1&release_summary=alice+created+initial+release&sha=&user=alice")
        );
        world
    });
    let world = world.await.expect("the first release is told");
    (world, receiver, url)
}

/// Takes one request and answers it; returns its head.
async fn receive(receiver: &TcpListener, answer: &str) -> Vec<String> {
    let (connection, _) = receiver.accept().await.expect("a connection");
    let mut connection = BufReader::new(connection);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        connection.read_line(&mut line).await.expect("a line");
        match line.trim_end() {
            "" => break,
            line => head.push(line.to_owned()),
        }
    }
    let answer = format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    connection.write_all(answer.as_bytes()).await.expect("an answer");
    head
}

/// Waits until the app's log has a line that holds this.
async fn said(world: &World, part: &str) -> String {
    let line = async || world.platform.said("blog").into_iter().find(|line| line.contains(part));
    wait_until("the log has the line", TIMEOUT, line).await
}

#[tokio::test]
async fn each_release_is_told_and_signed() {
    let (world, receiver, url) = with_hook("200 OK").await;
    assert_eq!(world.post("/v2/apps/blog/config/", r#"{"values":{"A":"1"}}"#).await.status, 201);

    let head = timeout(TIMEOUT, receive(&receiver, "200 OK")).await.expect("the release is told");

    let query = "&app=blog&release=v2&release_summary=alice+added+A&sha=&user=alice";
    assert_eq!(head[0], format!("POST /hook?token=planted{query} HTTP/1.1"));
    let signed = format!("authorization: {}", signature(&format!("{url}{query}"), "hook-secret"));
    assert!(head.iter().any(|line| line.eq_ignore_ascii_case(&signed)), "{head:?}");
    let line = said(&world, "Deploy hook sent to http://127.0.0.1").await;
    assert!(!line.contains("planted"), "{line}");
}

#[tokio::test]
async fn a_hook_that_fails_is_noted_and_stops_nothing() {
    let (world, receiver, _) = with_hook("500 Oops").await;
    drop(receiver);

    assert_eq!(world.post("/v2/apps/blog/config/", r#"{"values":{"A":"1"}}"#).await.status, 201);

    let answered = said(&world, "it answered 500").await;
    assert!(answered.starts_with("An error occurred while sending the deploy hook to http://127.0.0.1"));
    let refused = said(&world, "refused").await;
    assert!(!refused.contains("planted"), "{refused}");
}
