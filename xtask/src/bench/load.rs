//! An open-loop load: requests are sent at fixed times, however slow the responses are.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::progress;

/// Longest wait for a response, after which the request is lost.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// Longest idle time of a connection that is used again: the other side closes those that are idle for longer.
const IDLE_MAX: Duration = Duration::from_secs(5);

/// A load that runs until stopped.
pub struct Load {
    shared: Arc<Shared>,
    senders: Vec<JoinHandle<()>>,
}

struct Shared {
    target: SocketAddr,
    host: String,
    rate: u64,
    begun: Instant,
    next: AtomicU64,
    sent: AtomicU64,
    /// Requests with a response, or lost.
    ended: AtomicU64,
    lost: AtomicU64,
    stop: AtomicBool,
    /// The last used comes first, so that there are few more than requests under way.
    idle: Mutex<Vec<(Instant, Connection)>>,
    /// The first few reasons, for the output.
    reasons: Mutex<Vec<String>>,
}

type Connection = BufReader<TcpStream>;

/// Results of a load.
#[derive(Debug)]
pub struct Outcome {
    pub sent: u64,
    pub lost: u64,
    pub rate: f64,
    pub reasons: Vec<String>,
}

impl Load {
    /// Sends `GET /` to the host `rate` times a second, on time while answers come within `timeout`.
    pub fn start(target: SocketAddr, host: &str, rate: u64, timeout: Duration) -> Self {
        let shared = Arc::new(Shared {
            target,
            host: host.to_owned(),
            rate,
            begun: Instant::now(),
            next: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            idle: Mutex::default(),
            reasons: Mutex::default(),
        });
        let sender = |_| {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || shared.send_in_turn())
        };
        let senders = rate * timeout.as_millis() as u64 / 1_000;
        let senders = (0..senders).map(sender).collect();
        Self { shared, senders }
    }

    /// Runs an action; returns the number of requests that were under way during it.
    pub fn under_way_during(&self, action: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<u64> {
        let ended_before = self.shared.ended.load(Ordering::SeqCst);
        action()?;
        Ok(self.shared.sent.load(Ordering::SeqCst) - ended_before)
    }

    /// Waits until so many more requests have been sent.
    pub fn wait_for_requests(&self, count: u64) -> anyhow::Result<()> {
        let until = self.shared.sent.load(Ordering::Relaxed) + count;
        let limit = 10 * Duration::from_secs(1 + count / self.shared.rate);
        let sent = progress::wait_until(limit, || self.shared.sent.load(Ordering::Relaxed) >= until);
        ensure!(sent, "{count} requests have not left within {limit:?}: this machine is too busy to measure");
        Ok(())
    }

    /// Ends the load and counts.
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
        loop {
            let turn = self.next.fetch_add(1, Ordering::Relaxed);
            let due = self.begun + Duration::from_nanos(turn * 1_000_000_000 / self.rate);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            self.sent.fetch_add(1, Ordering::SeqCst);
            let answered = self.ask(turn);
            self.ended.fetch_add(1, Ordering::SeqCst);
            if let Err(reason) = answered {
                self.lost.fetch_add(1, Ordering::Relaxed);
                if let Ok(mut reasons) = self.reasons.lock()
                    && reasons.len() < 10
                {
                    reasons.push(format!("{:.2} s: {reason}", self.begun.elapsed().as_secs_f64()));
                }
            }
        }
    }

    fn ask(&self, turn: u64) -> Result<(), String> {
        let begun = Instant::now();
        let mut connection = self.connection(turn)?;
        write!(connection.get_mut(), "GET / HTTP/1.1\r\nHost: {}:{}\r\n\r\n", self.host, self.target.port())
            .map_err(|error| format!("send: {error}"))?;
        let (status, keep) = read_answer(&mut connection)?;
        if keep {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push((Instant::now(), connection));
        }
        if !(200..300).contains(&status) {
            return Err(format!("status {status}"));
        }
        if begun.elapsed() > ANSWER_LIMIT {
            return Err("answered too late".to_owned());
        }
        Ok(())
    }

    /// Every fourth request uses a new connection, as browsers do, in place of an older one; the others reuse
    /// theirs.
    fn connection(&self, turn: u64) -> Result<Connection, String> {
        let used = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let is_fit = |since: Instant| !turn.is_multiple_of(4) && since.elapsed() < IDLE_MAX;
        if let Some((_, used)) = used.filter(|(since, _)| is_fit(*since)) {
            return Ok(used);
        }
        let stream = TcpStream::connect(self.target).map_err(|error| format!("connect: {error}"))?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        stream.set_read_timeout(Some(ANSWER_LIMIT)).map_err(|error| error.to_string())?;
        Ok(BufReader::new(stream))
    }
}

/// Reads one response to its end; returns the status, and true if the connection can be used again.
fn read_answer(stream: &mut Connection) -> Result<(u16, bool), String> {
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

fn read_exactly(stream: &mut Connection, length: u64) -> Result<(), String> {
    let read = std::io::copy(&mut stream.take(length), &mut std::io::sink())
        .map_err(|error| format!("read: {error}"))?;
    if read == length { Ok(()) } else { Err("answer cut off".to_owned()) }
}
