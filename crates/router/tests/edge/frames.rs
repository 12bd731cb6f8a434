//! HTTP/2 frame by frame, for visitors who break the rules that a library would keep.
//!
//! Headers are written without compression and of answers only the status is read.

use std::io::ErrorKind;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::version::TLS13;

use crate::secure::{connect_with, pair, trusting};
use crate::visitor::Visitor;
use crate::world::World;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

pub const MAX_CONCURRENT_STREAMS: u16 = 3;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Outcome of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Status(u16),
    /// An answer of a status that is not among those with a number of their own in HPACK.
    OtherStatus,
    Reset(u32),
    /// The whole connection ended, for this reason.
    Gone(u32),
    Closed,
}

#[derive(Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

pub struct Http2 {
    visitor: Visitor,
}

/// TLS configuration of clients of a world; it sets the certificate of `echo.test`.
pub fn http2_of(world: &World) -> Arc<ClientConfig> {
    let platform = pair(&["echo.test"]);
    world.set_platform_certificate(platform.clone());
    trusting(&platform, &[&TLS13], &["h2"])
}

impl Http2 {
    pub fn connect(world: &World, config: &Arc<ClientConfig>) -> Self {
        let mut visitor = connect_with(world.https_address, "echo.test", config).expect("TLS works");
        visitor.send_bytes(PREFACE).expect("the preface is taken");
        let mut this = Self { visitor };
        assert!(this.send(SETTINGS, 0, 0, &[]));
        this
    }

    /// Sends a frame; true if the router still accepted it.
    pub fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> bool {
        let length = u32::try_from(payload.len()).expect("a small frame").to_be_bytes();
        let mut frame = vec![length[1], length[2], length[3], kind, flags];
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        self.visitor.send_bytes(&frame).is_ok()
    }

    /// One request, whose stream ends with its head.
    pub fn ask(&mut self, stream: u32, fields: &[(&str, &str)]) -> Outcome {
        self.send(HEADERS, END_HEADERS | END_STREAM, stream, &block(fields));
        self.outcome(stream)
    }

    /// Reads on until it is known what became of a stream.
    pub fn outcome(&mut self, stream: u32) -> Outcome {
        loop {
            match self.read() {
                None => return Outcome::Closed,
                Some(frame) if frame.kind == GOAWAY && code(&frame.payload[4..]) != 0 => {
                    return Outcome::Gone(code(&frame.payload[4..]));
                }
                Some(frame) if frame.stream != stream => {}
                Some(frame) if frame.kind == RST_STREAM => return Outcome::Reset(code(&frame.payload)),
                Some(frame) if frame.kind == HEADERS => return status(&frame.payload),
                Some(_) => {}
            }
        }
    }

    /// Body of a stream's response, once its head has come.
    pub fn body(&mut self, stream: u32) -> String {
        self.try_body(stream).expect("the answer ends")
    }

    /// The same, `None` where it is cut off.
    pub fn try_body(&mut self, stream: u32) -> Option<String> {
        let mut body = Vec::new();
        loop {
            let frame = self.read()?;
            if frame.stream != stream {
                continue;
            }
            match frame.kind {
                RST_STREAM => return None,
                DATA => body.extend(&frame.payload),
                _ => {}
            }
            if frame.flags & END_STREAM != 0 {
                return Some(String::from_utf8_lossy(&body).into_owned());
            }
        }
    }

    /// The next frame; settings and pings are acknowledged on the way.
    pub fn read(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.fill(&mut head)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).expect("24 bits")];
        self.fill(&mut payload)?;
        let [_, _, _, kind, flags, stream @ ..] = head;
        if matches!(kind, SETTINGS | PING) && flags & 1 == 0 {
            let echoed = if kind == PING { payload.clone() } else { Vec::new() };
            self.send(kind, 1, 0, &echoed);
        }
        Some(Frame { kind, flags, stream: u32::from_be_bytes(stream), payload })
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Option<()> {
        match self.visitor.read_bytes(bytes) {
            Ok(()) => Some(()),
            Err(error) => {
                let is_late = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
                assert!(!is_late, "the router says nothing more and stays");
                None
            }
        }
    }
}

/// Fields as HPACK has them: literal, without an index, without Huffman's code (RFC 7541 section 6.2.2).
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            push_length(&mut block, text.len());
            block.extend(text.as_bytes());
        }
    }
    block
}

/// RFC 7541 section 5.1, with a prefix of seven bits.
fn push_length(block: &mut Vec<u8>, length: usize) {
    let byte = |number: usize| u8::try_from(number).expect("it is below 256");
    if length < 127 {
        return block.push(byte(length));
    }
    block.push(127);
    let mut rest = length - 127;
    while rest >= 128 {
        block.push(byte(rest % 128 + 128));
        rest /= 128;
    }
    block.push(byte(rest));
}

/// The status is the first field, mostly one of the static table (RFC 7541 appendix A).
fn status(block: &[u8]) -> Outcome {
    let statuses = [200, 204, 206, 304, 400, 404, 500];
    match block.first() {
        Some(first @ 0x88..=0x8e) => Outcome::Status(statuses[usize::from(first - 0x88)]),
        _ => Outcome::OtherStatus,
    }
}

fn code(bytes: &[u8]) -> u32 {
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}
