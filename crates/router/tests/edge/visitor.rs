//! A visitor in front of the router, one connection at a time.

use std::io::{BufRead as _, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::app::header;
use crate::world::World;

/// A connection, of whatever kind.
pub trait Line: Read + Write + Send {}

impl<L: Read + Write + Send> Line for L {}

pub struct Visitor {
    stream: BufReader<Box<dyn Line>>,
    port: u16,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Visitor {
    pub fn connect(world: &World) -> Self {
        let stream = tcp(world.address);
        let port = stream.local_addr().expect("it is connected").port();
        Self { port, ..Self::on(stream) }
    }

    /// Speaks over a connection that is there.
    pub fn on(line: impl Line + 'static) -> Self {
        Self { stream: BufReader::new(Box::new(line)), port: 0 }
    }

    /// The visitor's own port, of a plain connection.
    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn send(&mut self, bytes: &str) {
        self.stream.get_mut().write_all(bytes.as_bytes()).expect("the router takes it");
    }

    /// Sends where the router may have closed the connection; tells whether it took the bytes.
    pub fn try_send(&mut self, bytes: &str) -> bool {
        self.stream.get_mut().write_all(bytes.as_bytes()).is_ok()
    }

    /// Sends what need not be text.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// So many bytes, or an error at the end of the connection.
    pub fn read_bytes(&mut self, bytes: &mut [u8]) -> std::io::Result<()> {
        self.stream.read_exact(bytes)
    }

    /// All that still comes until the connection ends.
    pub fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        // Cut off is an end too; what came before counts.
        let ended = self.stream.read_to_end(&mut rest);
        if let Err(error) = ended {
            assert!(!is_late(&error), "the connection stays open after {:?}", String::from_utf8_lossy(&rest));
        }
        String::from_utf8(rest).expect("UTF-8")
    }

    /// Returns true if the router has closed the connection, after any last data.
    pub fn is_closed(&mut self) -> bool {
        let mut rest = Vec::new();
        // A reset is an end too; only the time running out is none.
        match self.stream.read_to_end(&mut rest) {
            Ok(_) => true,
            Err(error) => !is_late(&error),
        }
    }

    /// Reads head and body of one answer.
    pub fn answer(&mut self) -> Answer {
        let head = self.head();
        let length = header(&head, "content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).expect("the whole body");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        Answer { status, head, body: String::from_utf8(body).expect("UTF-8") }
    }

    pub fn head(&mut self) -> String {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let read = self.stream.read_line(&mut head).expect("an answer");
            assert_ne!(read, 0, "closed within the head {head:?}");
        }
        head
    }

    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.stream.read_exact(&mut bytes).expect("so many bytes");
        bytes
    }

    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).expect("a line");
        line
    }
}

pub fn is_late(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// A connection that does not wait for ever.
pub fn tcp(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the router listens");
    stream.set_nodelay(true).expect("an option of every socket");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    stream
}

/// `GET path` of `host` on a connection of its own.
pub fn get(world: &World, host: &str, path: &str) -> Answer {
    let mut visitor = Visitor::connect(world);
    visitor.send(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    visitor.answer()
}
