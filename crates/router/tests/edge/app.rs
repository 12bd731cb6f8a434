//! An app behind the router: a socket whose every byte the test decides.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub struct App {
    pub key: String,
    pub address: SocketAddr,
    /// Requests that arrived.
    pub requests: Arc<AtomicU64>,
}

/// A request as the app received it.
pub struct Received {
    /// Request line and headers, with their line ends.
    pub head: String,
    /// Number of the request on its connection, from 0.
    pub turn: usize,
    pub stream: BufReader<TcpStream>,
}

impl Received {
    pub fn body(&mut self) -> String {
        let length =
            header(&self.head, "content-length").map_or(0, |length| length.parse().expect("a number"));
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).expect("the whole body");
        String::from_utf8_lossy(&body).into_owned()
    }

    pub fn answer(&mut self, text: &str) {
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len());
        self.send(&answer);
    }

    pub fn send(&mut self, bytes: &str) {
        // The visitor may be gone; what it got is what the test looks at.
        let _ = self.stream.get_mut().write_all(bytes.as_bytes());
    }
}

/// Value of a header in a head.
pub fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

impl App {
    /// Handles each request by `handle`, which tells whether the connection stays open.
    pub fn start(key: &str, handle: impl Fn(&mut Received) -> bool + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let requests = Arc::new(AtomicU64::new(0));
        let (handle, counted) = (Arc::new(handle), Arc::clone(&requests));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (handle, counted) = (Arc::clone(&handle), Arc::clone(&counted));
                std::thread::spawn(move || serve(stream, &*handle, &counted));
            }
        });
        Self { key: key.to_owned(), address, requests }
    }

    /// Answers everything with its own key.
    pub fn named(key: &str) -> Self {
        let text = key.to_owned();
        Self::start(key, move |request| {
            request.body();
            request.answer(&text);
            true
        })
    }

    /// An address where nobody listens.
    pub fn gone(key: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        Self { key: key.to_owned(), address, requests: Arc::default() }
    }

    pub fn count(&self) -> u64 {
        self.requests.load(Ordering::SeqCst)
    }
}

fn serve(stream: TcpStream, handle: &dyn Fn(&mut Received) -> bool, counted: &AtomicU64) {
    let mut stream = BufReader::new(stream);
    for turn in 0.. {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            if stream.read_until(b'\n', &mut head).unwrap_or(0) == 0 {
                return;
            }
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        counted.fetch_add(1, Ordering::SeqCst);
        let mut received = Received { head, turn, stream };
        if !handle(&mut received) {
            return;
        }
        stream = received.stream;
    }
}
