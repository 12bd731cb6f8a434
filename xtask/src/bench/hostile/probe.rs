//! A client that sends requests, each on a new connection, while others are hostile.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const EVERY: Duration = Duration::from_millis(50);
/// Longest wait for a response, after which the request has failed.
const ANSWER_MAX: Duration = Duration::from_secs(5);

pub struct Probe {
    stop: Arc<AtomicBool>,
    asking: JoinHandle<ProbeResult>,
}

/// Results of the probe.
#[derive(Debug, Default)]
pub struct ProbeResult {
    pub asked: usize,
    pub failed: usize,
    /// Of the requests with a response.
    pub p99_ms: f64,
    first_failure: Option<String>,
}

impl std::fmt::Display for ProbeResult {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { asked, failed, p99_ms, first_failure } = self;
        write!(formatter, "{asked} asked, {failed} failed, p99 {p99_ms:.0} ms")?;
        first_failure.iter().try_for_each(|failure| write!(formatter, "; first failure: {failure}"))
    }
}

impl Probe {
    pub fn get(target: SocketAddr, host: &str, path: &str, status: u16) -> Self {
        Self::start(
            target,
            format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"),
            status,
        )
    }

    /// Logs in as the user of the bench.
    pub fn login(target: SocketAddr, password: &str) -> Self {
        let body = format!("{{\"username\":\"bench\",\"password\":\"{password}\"}}");
        let head =
            "POST /v2/auth/login/ HTTP/1.1\r\nHost: deis.localhost\r\nContent-Type: application/json\r\n";
        let length = body.len();
        Self::start(target, format!("{head}Connection: close\r\nContent-Length: {length}\r\n\r\n{body}"), 200)
    }

    fn start(target: SocketAddr, request: String, status: u16) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let asking = std::thread::spawn(move || {
            let (mut seen, mut times) = (ProbeResult::default(), Vec::new());
            while !stopped.load(Ordering::Relaxed) {
                let begun = Instant::now();
                seen.asked += 1;
                match ask(target, &request, status) {
                    Ok(()) => times.push(begun.elapsed()),
                    Err(failure) => {
                        seen.failed += 1;
                        seen.first_failure.get_or_insert(failure);
                    }
                }
                std::thread::sleep(EVERY.saturating_sub(begun.elapsed()));
            }
            times.sort_unstable();
            let p99 = times.get(times.len() * 99 / 100).copied().unwrap_or(ANSWER_MAX);
            ProbeResult { p99_ms: p99.as_secs_f64() * 1e3, ..seen }
        });
        Self { stop, asking }
    }

    pub fn stop(self) -> ProbeResult {
        self.stop.store(true, Ordering::Relaxed);
        // A probe that panicked counts as a failure.
        self.asking.join().unwrap_or(ProbeResult { asked: 1, failed: 1, ..ProbeResult::default() })
    }
}

fn ask(target: SocketAddr, request: &str, status: u16) -> Result<(), String> {
    let asked = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&target, ANSWER_MAX)?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        stream.write_all(request.as_bytes())?;
        let mut answer = [0; 64];
        let length = stream.read(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer[..length]).lines().next().unwrap_or_default().to_owned())
    };
    match asked() {
        Ok(line) if line.starts_with(&format!("HTTP/1.1 {status} ")) => Ok(()),
        Ok(line) => Err(format!("{line:?}")),
        Err(error) => Err(error.to_string()),
    }
}
