//! The clients: `wrk` on connections that stay open, `ab` on a new one with a full handshake for each request. It
//! resumes no session.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::servers::host;
use crate::progress;

/// Connections of `ab`: enough to keep the server busy.
const HANDSHAKES_AT_ONCE: &str = "8";
/// Limit of `ab`, which keeps the time of each request; never reached.
const HANDSHAKES_MAX: &str = "1000000";

/// Results of `wrk`.
#[derive(Debug, PartialEq)]
pub(super) struct ResponseCounts {
    pub(super) requests: u64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
}

/// Sends as many requests as the server can serve, for this time.
pub(super) fn keep_alive(url: &str, connections: usize, time: Duration) -> anyhow::Result<ResponseCounts> {
    let mut wrk = Command::new("wrk");
    wrk.args(["--threads=1", "--latency", "--timeout=10s"]);
    wrk.arg(format!("--connections={connections}")).arg(format!("--duration={}s", time.as_secs()));
    let said = progress::output(wrk.args(["--header", &format!("Host: {}", host(0)), url]))?;
    ensure!(
        !said.contains("Socket errors") && !said.contains("Non-2xx"),
        "requests to {url} failed, so that there is nothing to measure:\n{said}"
    );
    read_wrk(&said).with_context(|| format!("cannot read what wrk says:\n{said}"))
}

fn read_wrk(said: &str) -> Option<ResponseCounts> {
    let lines = || said.lines().map(str::trim);
    let after = |start: &str| lines().find_map(|line| milliseconds(line.strip_prefix(start)?.trim()));
    let requests = lines().find_map(|line| line.split_once(" requests in ")?.0.parse().ok())?;
    Some(ResponseCounts { requests, p50_ms: after("50%")?, p99_ms: after("99%")? })
}

/// `980.00us`, `1.23ms`, `1.02s`.
fn milliseconds(text: &str) -> Option<f64> {
    let (number, factor) = [("us", 1e-3), ("ms", 1.0), ("s", 1e3), ("m", 60e3)]
        .into_iter()
        .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)))?;
    Some(number.parse::<f64>().ok()? * factor)
}

/// Number of requests, each with a handshake of its own, in this time.
pub(super) fn handshakes(url: &str, time: Duration) -> anyhow::Result<u64> {
    let mut ab = Command::new("ab");
    // The order matters: a time implies a number of requests.
    ab.args(["-q", "-t", &time.as_secs().to_string(), "-n", HANDSHAKES_MAX, "-c", HANDSHAKES_AT_ONCE]);
    let said = progress::output(ab.args(["-H", &format!("Host: {}", host(0)), &format!("{url}/")]))?;
    let number =
        |start: &str| said.lines().find_map(|line| line.strip_prefix(start)?.trim().parse::<u64>().ok());
    ensure!(
        number("Failed requests:") == Some(0) && number("Non-2xx responses:").is_none(),
        "requests to {url} failed, so that there is nothing to measure:\n{said}"
    );
    number("Complete requests:").filter(|count| *count > 0).context("ab made no request")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_wrk_says_is_read() {
        let said = "  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.20ms    1.03ms  18.60ms   94.71%
  Latency Distribution
     50%  980.00us
     75%    1.20ms
     99%    1.02s
  53190 requests in 1.10s, 10.35MB read
Requests/sec:  48354.11";

        let answers = read_wrk(said);

        assert_eq!(answers, Some(ResponseCounts { requests: 53_190, p50_ms: 0.98, p99_ms: 1_020.0 }));
    }
}
