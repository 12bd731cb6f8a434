//! Connections that take places: silent ones, and too many of one user.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::client::ended;
use crate::world::World;

const APP: &[(&str, &str)] = &[("Procfile", "web: ./serve\n")];

/// Connections that say nothing, or no more than their version.
async fn silent(port: u16, count: usize) -> Vec<TcpStream> {
    let mut streams = Vec::new();
    for number in 0..count {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        if number % 2 == 0 {
            stream.write_all(b"SSH-2.0-Silence\r\n").await.unwrap();
        }
        streams.push(stream);
    }
    streams
}

/// Returns true if the other end closes the connection within the time, however much it sends before.
async fn is_closed_within(stream: &mut TcpStream, time: Duration) -> bool {
    let to_end = async {
        let mut said = [0; 4096];
        while !matches!(stream.read(&mut said).await, Ok(0) | Err(_)) {}
    };
    tokio::time::timeout(time, to_end).await.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn hundreds_of_silent_connections_do_not_keep_anybody_from_pushing() {
    let world = World::new().await;
    let client = world.client_with(APP).await;
    let mut strangers = silent(client.port, 300).await;

    client.push("blog", "main").await.ended_with(0).shows(&["blog:v2 deployed"]);

    let mut open = 0;
    for stranger in &mut strangers {
        open += usize::from(!is_closed_within(stranger, Duration::from_millis(1)).await);
    }
    assert!(open <= 32, "{open} connections of one source have not authenticated and are open");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_under_way_outlives_a_flood_of_connections() {
    let world = World::new().await;
    let client = world.client_with(APP).await;
    world.engine.hold_builds();
    let pushing = client.begin_push("blog", "main");
    world.until("the build runs", |world| !world.engine.built().is_empty()).await;

    let strangers = silent(client.port, 300).await;
    world.engine.let_builds_go();

    ended(pushing).await.ended_with(0).shows(&["blog:v2 deployed"]);
    drop(strangers);
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_proxy_each_source_has_its_own_share() {
    let world = World::with(|settings| {
        settings.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
        settings.unauthenticated_by_source_max = 2;
    })
    .await;
    let client = world.client_with(APP).await;
    let mut streams = Vec::new();
    for source in ["192.0.2.1", "192.0.2.2", "192.0.2.1", "192.0.2.1"] {
        let mut stream = TcpStream::connect(("127.0.0.1", client.port)).await.unwrap();
        let header = format!("PROXY TCP4 {source} 198.51.100.1 5000 2222\r\n");
        stream.write_all(header.as_bytes()).await.unwrap();
        let mut version = [0; 8];
        stream.read_exact(&mut version).await.unwrap();
        assert_eq!(&version, b"SSH-2.0-");
        streams.push(stream);
    }

    assert!(
        is_closed_within(&mut streams[0], Duration::from_secs(5)).await,
        "the oldest of the source is shed"
    );
    assert!(
        !is_closed_within(&mut streams[1], Duration::from_millis(1)).await,
        "another source keeps its place"
    );
    // A header is not asked for.
    client.push("blog", "main").await.ended_with(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_header_of_a_proxy_is_refused_and_believed_of_proxies_only() {
    let world = World::new().await;
    let client = world.client("alice").await;
    let mut stream = TcpStream::connect(("127.0.0.1", client.port)).await.unwrap();
    stream.write_all(b"PROXY TCP4 192.0.2.1 198.51.100.1 5000 2222\r\n").await.unwrap();
    stream.write_all(&[b'x'; 8 << 10]).await.unwrap();

    assert!(is_closed_within(&mut stream, Duration::from_secs(5)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_without_end_before_it_authenticates_is_closed() {
    let world = World::new().await;
    let client = world.client("alice").await;
    let mut stream = TcpStream::connect(("127.0.0.1", client.port)).await.unwrap();
    stream.write_all(b"SSH-2.0-Flood\r\n").await.unwrap();
    // SSH_MSG_IGNORE in the clear, again and again (RFC 4253, 11.2).
    let packet = [&[0, 0, 0, 28, 10, 2, 0, 0, 0, 12][..], &[0; 22]].concat();
    let flood = async {
        for _ in 0..100_000 {
            if stream.write_all(&packet.repeat(64)).await.is_err() {
                return;
            }
        }
        panic!("two hundred megabytes were taken");
    };

    tokio::time::timeout(Duration::from_secs(30), flood).await.expect("it is neither read nor closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn more_connections_than_a_user_may_have_are_told_so() {
    let world = World::with(|settings| settings.connections_by_user_max = 0).await;
    let client = world.client_with(APP).await;

    client.push("blog", "main").await.ended_with(128).shows(&["alice has as many SSH connections"]);
    assert!(world.engine.built().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn more_connections_than_an_address_or_the_platform_may_have_are_told_so() {
    let world = World::with(|settings| settings.connections_by_source_max = 0).await;
    let client = world.client_with(APP).await;
    client.push("blog", "main").await.ended_with(128).shows(&["your address has as many SSH connections"]);

    let world = World::with(|settings| settings.connections_max = 0).await;
    let client = world.client_with(APP).await;
    client.push("blog", "main").await.ended_with(128).shows(&["the platform has as many SSH connections"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authenticated_connection_that_asks_for_nothing_ends() {
    let world = World::with(|settings| settings.idle_max = Duration::from_millis(300)).await;
    let client = world.client("alice").await;

    // `-N` asks for no command.
    let idle = client.ssh("-N", "").await;

    assert_ne!(idle.code, Some(0));
    idle.shows(&["nothing was asked for"]);
}
