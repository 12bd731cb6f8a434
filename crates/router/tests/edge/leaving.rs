//! Visitors who leave before they have their answer: the app's request ends with them, on every way.

use std::io::Read as _;
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use rustls::version::TLS13;
use rustls::{ClientConfig, StreamOwned};
use socket2::SockRef;

use crate::app::App;
use crate::frames::{DATA, END_HEADERS, END_STREAM, HEADERS, Http2, RST_STREAM, block, http2_of};
use crate::secure::{pair, shaken, trusting};
use crate::visitor::{Visitor, get, tcp};
use crate::world::{World, route};

const GET: &str = "GET /before HTTP/1.1\r\nHost: slow.test\r\n\r\n";
const POST: &str = "POST /before HTTP/1.1\r\nHost: slow.test\r\nContent-Length: 2\r\n\r\nhi";
const POST_IN_CHUNKS: &str =
    "POST /before HTTP/1.1\r\nHost: slow.test\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n";
const STREAM: &str = "GET /stream HTTP/1.1\r\nHost: slow.test\r\n\r\n";
/// Of two requests, the second waits for the answer to the first.
const TWO: &str =
    "GET /before HTTP/1.1\r\nHost: slow.test\r\n\r\nGET /second HTTP/1.1\r\nHost: slow.test\r\n\r\n";

/// Ways for a client to leave.
#[derive(Debug, Clone, Copy)]
enum Leaving {
    Closes,
    /// Says that nothing more comes, and goes on reading.
    ClosesItsHalf,
    Resets,
}

/// An app that answers nothing, or begins to, and what it saw: the paths that arrived, and which of them ended.
struct Slow {
    app: App,
    arrivals: mpsc::Receiver<String>,
    ends: mpsc::Receiver<String>,
}

fn slow() -> Slow {
    let (arrived, arrivals) = mpsc::channel();
    let (ended, ends) = mpsc::channel();
    let ended = Mutex::new(ended);
    let app = App::start("slow", move |request| {
        let path = request.head.split(' ').nth(1).unwrap_or_default().to_owned();
        // A body in chunks is of no matter here: it ends before the connection does.
        request.body();
        if path == "/stream" {
            request.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
        }
        let _ = arrived.send(path.clone());
        while let Ok(1..) = request.stream.read(&mut [0; 64]) {}
        let _ = ended.lock().expect("not poisoned").send(path);
        false
    });
    Slow { app, arrivals, ends }
}

struct Ground {
    world: World,
    slow: Slow,
    tls: Arc<ClientConfig>,
}

impl Ground {
    fn start(is_fast: bool, is_told: bool) -> Self {
        let world = World::start_with(|settings| (settings.fast_path, settings.workers) = (is_fast, 1));
        let slow = slow();
        let mut of_slow = route("slow", &[&slow.app]);
        of_slow.rules.access_log = Some(is_told);
        world.serve(vec![of_slow]);
        let platform = pair(&["slow.test"]);
        world.set_platform_certificate(platform.clone());
        Self { world, slow, tls: trusting(&platform, &[&TLS13], &[]) }
    }

    /// A connection, and the socket below it.
    fn connect(&self, is_tls: bool) -> (Visitor, TcpStream) {
        if is_tls {
            let (tls, line) = shaken(self.world.https_address, "slow.test", &self.tls).expect("TLS works");
            let below = line.try_clone().expect("a second handle");
            return (Visitor::on(StreamOwned::new(tls, line)), below);
        }
        let line = tcp(self.world.address);
        let below = line.try_clone().expect("a second handle");
        (Visitor::on(line), below)
    }

    /// Asks, leaves once the app has the request, and waits until the app knows.
    fn leave(&self, is_tls: bool, asked: &str, leaving: Leaving) {
        let (mut visitor, below) = self.connect(is_tls);
        visitor.send(asked);
        let path = self.slow.arrivals.recv_timeout(Duration::from_secs(10)).expect("the app is asked");
        if asked == STREAM {
            assert!(visitor.head().starts_with("HTTP/1.1 200 "));
            assert_eq!((visitor.line(), visitor.bytes(7)), ("5\r\n".to_owned(), b"hello\r\n".to_vec()));
        }
        match leaving {
            Leaving::Closes => drop((visitor, below)),
            Leaving::ClosesItsHalf => {
                below.shutdown(Shutdown::Write).expect("the end is told");
                assert!(visitor.is_closed());
            }
            Leaving::Resets => {
                SockRef::from(&below).set_linger(Some(Duration::ZERO)).expect("an option of every socket");
                drop((visitor, below));
            }
        }
        let ended = self.slow.ends.recv_timeout(Duration::from_secs(10));
        assert_eq!(ended, Ok(path), "TLS: {is_tls}, {leaving:?}: {asked:?}");
    }
}

#[test]
fn a_visitor_of_http1_who_leaves_ends_the_apps_request_on_both_ways() {
    for is_fast in [true, false] {
        let ground = Ground::start(is_fast, false);
        for asked in [GET, POST, POST_IN_CHUNKS, STREAM, TWO] {
            for leaving in [Leaving::Closes, Leaving::ClosesItsHalf, Leaving::Resets] {
                // On the slow path, nobody reads on while another request waits.
                if asked == TWO && !is_fast {
                    continue;
                }
                ground.leave(false, asked, leaving);
                ground.leave(true, asked, leaving);
            }
        }
        ground.world.wait_for_metric("under_way{app=\"slow\"} 0");
        // Two connections of each, of which none brought a second request.
        assert!(ground.slow.arrivals.try_recv().is_err());
    }
}

#[test]
fn a_visitor_who_leaves_is_told_as_499_whichever_protocol_and_way() {
    for is_fast in [true, false] {
        let ground = Ground::start(is_fast, true);
        for is_tls in [false, true] {
            ground.leave(is_tls, GET, Leaving::Closes);
            ground.leave(is_tls, POST, Leaving::Resets);
            ground.leave(is_tls, STREAM, Leaving::Closes);
        }
        let config = http2_of(&ground.world);
        for path in ["/before", "/stream"] {
            let mut visitor = Http2::connect(&ground.world, &config);
            let fields =
                [(":method", "GET"), (":scheme", "https"), (":authority", "slow.test"), (":path", path)];
            visitor.send(HEADERS, END_HEADERS | END_STREAM, 1, &block(&fields));
            ground.slow.arrivals.recv_timeout(Duration::from_secs(10)).expect("the app is asked");
            if path == "/stream" {
                while visitor.read().expect("the stream begins").kind != DATA {}
            }
            visitor.send(RST_STREAM, 0, 1, &8_u32.to_be_bytes());
            let ended = ground.slow.ends.recv_timeout(Duration::from_secs(10));
            assert_eq!(ended.as_deref(), Ok(path));
        }

        let lines = ground.world.log("slow", 8);

        for line in &lines {
            let (desc, bytes) = match line {
                line if line.contains("path=\"/stream\"") => {
                    ("the visitor left before the end of the answer", 5)
                }
                _ => ("the visitor left before the answer", 0),
            };
            let is_so = line.contains(&format!("at=error desc=\"{desc}\""))
                && line.contains(&format!(" status=499 bytes={bytes} "));
            assert!(is_so, "{line}");
        }
        ground.world.wait_for_metric("requests_total{app=\"slow\",class=\"4xx\"} 5");
    }
}

#[test]
fn a_visitor_who_leaves_while_no_process_is_ready_waits_no_more() {
    for is_fast in [true, false] {
        let ground = Ground::start(is_fast, true);
        let mut starting = route("slow", &[]);
        (starting.wanted, starting.rules.access_log) = (1, Some(true));
        ground.world.serve(vec![starting]);
        let (mut visitor, below) = ground.connect(false);
        visitor.send(GET);
        // One worker looks at both in turn.
        assert_eq!(get(&ground.world, "nobody.test", "/").status, 404);
        drop((visitor, below));

        ground.world.wait_for_metric("requests_total{app=\"slow\",class=\"4xx\"} 1");
    }
}

#[test]
fn what_comes_behind_a_request_while_its_app_works_is_answered_afterwards() {
    let (go_on, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let (arrived, arrivals) = mpsc::channel();
    let app = App::start("slow", move |request| {
        let path = request.head.split(' ').nth(1).unwrap_or_default().to_owned();
        let body = request.body();
        arrived.send(()).expect("the test listens");
        wait.lock().expect("not poisoned").recv().expect("the test says when");
        request.answer(&format!("{path} {body}"));
        true
    });
    let world = World::start();
    world.serve(vec![route("slow", &[&app])]);
    let mut visitor = Visitor::connect(&world);

    visitor.send("POST /1 HTTP/1.1\r\nHost: slow.test\r\nContent-Length: 3\r\n\r\none");
    arrivals.recv().expect("the app is asked");
    visitor.send("POST /2 HTTP/1.1\r\nHost: slow.test\r\nContent-Length: 3\r\n\r\ntwo");
    visitor.send("GET /3 HTTP/1.1\r\nHost: slow.test\r\n");
    (0..3).for_each(|_| go_on.send(()).expect("the app waits"));
    assert_eq!((visitor.answer().body.as_str(), visitor.answer().body.as_str()), ("/1 one", "/2 two"));
    visitor.send("\r\n");

    assert_eq!(visitor.answer().body, "/3 ");
}
