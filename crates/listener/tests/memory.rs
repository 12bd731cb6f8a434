//! Memory of requests that are still arriving. Alone in its file, for it reads the memory of its process.

use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use listener::http::{HttpLimits, serve};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};

const CONNECTIONS: usize = 1_000;
const BYTES_MAX: usize = 20 << 10;

/// Resident memory of this process.
fn resident_bytes() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").expect("this is Linux");
    let pages: usize = text.split(' ').nth(1).expect("it has a second field").parse().expect("a number");
    pages * 4096
}

async fn cost_of(half: &str) -> usize {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let limits = HttpLimits::among_ourselves(2 * CONNECTIONS);
    // As large as handlers come: it must not be there before the request is.
    let handler = async |_| {
        let large = [0_u8; 200 << 10];
        tokio::task::yield_now().await;
        Response::new(Full::from(Bytes::copy_from_slice(&large[..2])))
    };
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(serve(listener, limits, handler, async { drop(stopped.await) }));
    let mut held = Vec::with_capacity(CONNECTIONS);
    let before = resident_bytes();
    for _ in 0..CONNECTIONS {
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        stream.write_all(half.as_bytes()).await.expect("it is taken");
        held.push(stream);
    }
    // All has been read when the cost grows no more.
    let mut cost = 0;
    loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let now = resident_bytes().saturating_sub(before);
        if now > 0 && now == cost {
            break;
        }
        cost = now;
    }
    drop(stop);
    serving.await.expect("no panic");
    cost / CONNECTIONS
}

#[tokio::test]
async fn a_half_sent_request_costs_no_more_than_its_buffers() {
    for half in
        ["GET / HTTP/1.1\r\nX-Half:", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{\"user"]
    {
        let cost = cost_of(half).await;
        println!("{half:?}: {cost} bytes each");
        assert!(cost <= BYTES_MAX, "{half:?}: {cost} bytes each");
    }
}
