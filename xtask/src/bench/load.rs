//! An open-loop load: requests leave at their appointed times, however slow the answers are.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// An answer after this long counts as lost.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// Enough for answers of up to a quarter of a second at 1,000 requests a second.
const SENDERS: u64 = 256;

/// A load that runs until stopped.
pub struct Load {
    shared: Arc<Shared>,
    senders: Vec<JoinHandle<()>>,
}

struct Shared {
    port: u16,
    host: String,
    rate: u64,
    begun: Instant,
    next: AtomicU64,
    sent: AtomicU64,
    lost: AtomicU64,
    stop: AtomicBool,
    /// First few reasons, for a person.
    reasons: std::sync::Mutex<Vec<String>>,
}

/// What came of a load.
#[derive(Debug)]
pub struct Outcome {
    pub sent: u64,
    pub lost: u64,
    pub rate: f64,
    pub reasons: Vec<String>,
}

impl Load {
    /// Sends `GET /` to the host `rate` times a second.
    pub fn start(port: u16, host: &str, rate: u64) -> Self {
        let shared = Arc::new(Shared {
            port,
            host: host.to_owned(),
            rate,
            begun: Instant::now(),
            next: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            reasons: std::sync::Mutex::default(),
        });
        let sender = |_| {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || shared.send_in_turn())
        };
        let senders = (0..SENDERS).map(sender).collect();
        Self { shared, senders }
    }

    /// Ends it and counts.
    pub fn stop(self) -> Outcome {
        self.shared.stop.store(true, Ordering::Relaxed);
        let seconds = self.shared.begun.elapsed().as_secs_f64();
        let sent_in_time = self.shared.sent.load(Ordering::Relaxed);
        for sender in self.senders {
            // A sender that panicked has lost its request.
            if sender.join().is_err() {
                self.shared.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
        let reasons = self.shared.reasons.lock().map(|reasons| reasons.clone()).unwrap_or_default();
        Outcome {
            sent: self.shared.sent.load(Ordering::Relaxed),
            lost: self.shared.lost.load(Ordering::Relaxed),
            rate: sent_in_time as f64 / seconds,
            reasons,
        }
    }
}

impl Shared {
    fn send_in_turn(&self) {
        let mut connection = None;
        loop {
            let turn = self.next.fetch_add(1, Ordering::Relaxed);
            let due = self.begun + Duration::from_nanos(turn * 1_000_000_000 / self.rate);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            self.sent.fetch_add(1, Ordering::Relaxed);
            if let Err(reason) = self.ask(&mut connection, turn) {
                connection = None;
                self.lost.fetch_add(1, Ordering::Relaxed);
                if let Ok(mut reasons) = self.reasons.lock()
                    && reasons.len() < 10
                {
                    reasons.push(format!("{:.2} s: {reason}", self.begun.elapsed().as_secs_f64()));
                }
            }
        }
    }

    /// Every fourth request comes on a fresh connection, as visitors do; the rest reuse theirs.
    fn ask(&self, connection: &mut Option<BufReader<TcpStream>>, turn: u64) -> Result<(), String> {
        let begun = Instant::now();
        if turn.is_multiple_of(4) {
            *connection = None;
        }
        if connection.is_none() {
            let stream =
                TcpStream::connect(("127.0.0.1", self.port)).map_err(|error| format!("connect: {error}"))?;
            stream.set_nodelay(true).map_err(|error| error.to_string())?;
            stream.set_read_timeout(Some(ANSWER_LIMIT)).map_err(|error| error.to_string())?;
            *connection = Some(BufReader::new(stream));
        }
        let stream = connection.as_mut().expect("it was just opened");
        write!(stream.get_mut(), "GET / HTTP/1.1\r\nHost: {}:{}\r\n\r\n", self.host, self.port)
            .map_err(|error| format!("send: {error}"))?;
        let (status, keep) = read_answer(stream)?;
        if !keep {
            *connection = None;
        }
        if !(200..300).contains(&status) {
            return Err(format!("status {status}"));
        }
        if begun.elapsed() > ANSWER_LIMIT {
            return Err("answered too late".to_owned());
        }
        Ok(())
    }
}

/// Reads one answer to its end; tells the status and whether the connection may be used again.
fn read_answer(stream: &mut BufReader<TcpStream>) -> Result<(u16, bool), String> {
    let mut line = String::new();
    let mut read_line = |line: &mut String| -> Result<(), String> {
        line.clear();
        match stream.read_line(line) {
            Ok(0) => Err("closed without an answer".to_owned()),
            Ok(_) => Ok(()),
            Err(error) => Err(format!("read: {error}")),
        }
    };
    read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or("no status")?;
    let (mut length, mut chunked, mut keep) = (0, false, true);
    loop {
        read_line(&mut line)?;
        let header = line.trim().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().map_err(|_| "bad length".to_owned())?;
        }
        chunked |= header.strip_prefix("transfer-encoding:").is_some_and(|value| value.contains("chunked"));
        keep &= header != "connection: close";
    }
    if !chunked {
        read_exactly(stream, length)?;
        return Ok((status, keep));
    }
    loop {
        line.clear();
        stream.read_line(&mut line).map_err(|error| format!("read: {error}"))?;
        let size = u64::from_str_radix(line.trim(), 16).map_err(|_| "bad chunk".to_owned())?;
        read_exactly(stream, size + 2)?;
        if size == 0 {
            return Ok((status, keep));
        }
    }
}

fn read_exactly(stream: &mut BufReader<TcpStream>, length: u64) -> Result<(), String> {
    let read = std::io::copy(&mut stream.take(length), &mut std::io::sink())
        .map_err(|error| format!("read: {error}"))?;
    if read == length { Ok(()) } else { Err("answer cut off".to_owned()) }
}
