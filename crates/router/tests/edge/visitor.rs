//! A visitor in front of the router, one connection at a time.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::app::header;
use crate::world::World;

pub struct Visitor {
    pub stream: BufReader<TcpStream>,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Visitor {
    pub fn connect(world: &World) -> Self {
        let stream = TcpStream::connect(world.address).expect("the router listens");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        Self { stream: BufReader::new(stream) }
    }

    pub fn send(&mut self, bytes: &str) {
        self.stream.get_mut().write_all(bytes.as_bytes()).expect("the router takes it");
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

    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).expect("a line");
        line
    }
}

/// `GET path` of `host` on a connection of its own.
pub fn get(world: &World, host: &str, path: &str) -> Answer {
    let mut visitor = Visitor::connect(world);
    visitor.send(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    visitor.answer()
}
