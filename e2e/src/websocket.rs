//! A client with a WebSocket (RFC 6455) to an app that echoes each message: short texts, one at a time.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// Source of the echo app; it reads `PORT`.
pub const ECHO_APP: &str = include_str!("websocket/echo.py");

/// The key of RFC 6455 section 1.3, and the response that it requires.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
/// First byte of a text message in one frame.
const TEXT: u8 = 0x81;
const TEXT_BYTES_MAX: usize = 125;

pub struct WebSocket(BufReader<TcpStream>);

impl WebSocket {
    /// Opens a WebSocket to `host`; an error text where the app refuses it.
    pub fn open(port: u16, host: &str) -> Result<Self, String> {
        let stream = TcpStream::connect(("127.0.0.1", port)).map_err(|error| error.to_string())?;
        stream.set_read_timeout(Some(Duration::from_secs(30))).map_err(|error| error.to_string())?;
        let mut this = Self(BufReader::new(stream));
        let handshake = format!(
            "GET / HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        );
        this.0.get_mut().write_all(handshake.as_bytes()).map_err(|error| error.to_string())?;
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let read = this.0.read_line(&mut head).map_err(|error| error.to_string())?;
            if read == 0 {
                return Err(format!("closed within {head:?}"));
            }
        }
        let is_agreed = head.starts_with("HTTP/1.1 101 ") && head.contains(ACCEPT);
        if is_agreed { Ok(this) } else { Err(head) }
    }

    /// Sends a text and returns the reply.
    pub fn ask(&mut self, text: &str) -> Result<String, String> {
        assert!(text.len() <= TEXT_BYTES_MAX, "a short text");
        let length = u8::try_from(text.len()).expect("it is short");
        // Masked, as a client's frames must be; with zeros, which change nothing.
        let frame = [&[TEXT, 0x80 | length, 0, 0, 0, 0], text.as_bytes()].concat();
        self.0.get_mut().write_all(&frame).map_err(|error| error.to_string())?;
        let mut head = [0; 2];
        self.0.read_exact(&mut head).map_err(|error| error.to_string())?;
        if head[0] != TEXT || usize::from(head[1]) > TEXT_BYTES_MAX {
            return Err(format!("no short text: {head:?}"));
        }
        let mut said = vec![0; usize::from(head[1])];
        self.0.read_exact(&mut said).map_err(|error| error.to_string())?;
        String::from_utf8(said).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::process::{Child, Command};

    use super::*;
    use crate::wait_until_blocking;

    struct App(Child);

    impl Drop for App {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[test]
    fn the_app_says_back_what_it_hears() {
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = free.local_addr().expect("it is bound").port();
        drop(free);
        let python = Command::new("python3").args(["-c", ECHO_APP]).env("PORT", port.to_string()).spawn();
        let _app = App(python.expect("python3 is there"));

        let mut socket = wait_until_blocking("the app listens", Duration::from_secs(20), || {
            WebSocket::open(port, "echo.localhost").ok()
        });

        for word in ["one", "two"] {
            assert_eq!(socket.ask(word).as_deref(), Ok(word));
        }
        let page = crate::get(port, "echo.localhost", "/").expect("a page");
        assert_eq!(page.body, "1 taken\n");
    }
}
