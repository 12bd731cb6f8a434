//! Delay of a route change, and lost requests meanwhile.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::ensure;

use super::servers::{Bed, Options, Peer, Server, ServerName, host};
use crate::bench::figures::{Figures, median};
use crate::bench::load::Load;

/// Requests a second meanwhile, and the longest response time with which the load stays on time.
const RATE: u64 = 1_000;
const TIMEOUT: Duration = Duration::from_millis(50);
/// Apps that are changed in turn; the load requests the first.
const APPS: usize = 10;
/// Most changes of nginx, which takes seconds for each.
const NGINX_CHANGES_MAX: usize = 5;
const CHANGE_MAX: Duration = Duration::from_secs(120);
const ANSWER_MAX: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_micros(500);

/// Goal: from the change to the first request under the new route.
const P99_MS_MAX: f64 = 20.0;

pub(super) fn measure(bed: &Bed, hosts: usize, changes: usize, figures: &mut Figures) -> anyhow::Result<()> {
    let ours = change(bed, ServerName::Ours, hosts, changes)?;
    let peer_changes = if bed.peer == Peer::Nginx { changes.min(NGINX_CHANGES_MAX) } else { changes };
    let peer = change(bed, ServerName::Peer, hosts, peer_changes)?;
    let figure = |what: &str| format!("change of a route, {hosts} routes: {what}");
    figures.compare(figure("p50"), median(&ours.times_ms), median(&peer.times_ms), "ms");
    let p99 = ours.p99_ms();
    figures.add(figure("p99"), p99, "ms");
    figures.add(figure("requests meanwhile"), ours.sent as f64, "requests");
    figures.add(figure(&format!("errors in {changes} changes")), ours.errors as f64, "requests");
    figures.add(
        figure(&format!("errors of the peer in {}", peer.times_ms.len())),
        peer.errors as f64,
        "requests",
    );
    if p99 > P99_MS_MAX {
        figures.miss(figure(&format!("p99 above {P99_MS_MAX} ms")));
    }
    if ours.errors > 0 {
        figures.miss(figure("errors"));
    }
    Ok(())
}

struct Changed {
    times_ms: Vec<f64>,
    sent: u64,
    errors: u64,
}

impl Changed {
    fn p99_ms(&self) -> f64 {
        let mut sorted = self.times_ms.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get((sorted.len() * 99 / 100).min(sorted.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
    }
}

fn change(bed: &Bed, who: ServerName, hosts: usize, changes: usize) -> anyhow::Result<Changed> {
    let server = bed.start(who, Options { hosts, access_log: false })?;
    let load = Load::start(server.address(), &host(0), RATE, TIMEOUT);
    let changed = change_in_turn(bed, &server, changes);
    let outcome = load.stop();
    let (times_ms, refused) = changed?;
    for reason in &outcome.reasons {
        println!("    {who:?}: lost at {reason}");
    }
    Ok(Changed { times_ms, sent: outcome.sent, errors: outcome.lost + refused })
}

/// Times in milliseconds, and the number of failed requests among those for the new backend.
fn change_in_turn(bed: &Bed, server: &Server, changes: usize) -> anyhow::Result<(Vec<f64>, u64)> {
    let (mut times, mut refused) = (Vec::new(), 0);
    for turn in 0..changes {
        let (app, backend) = (turn % APPS, (turn / APPS + 1) % 2);
        let wanted = format!("backend {}\n", bed.backends[backend].port());
        let begun = Instant::now();
        server.route(app, backend)?;
        while !match ask(server.address(), &host(app)) {
            Ok(answer) => answer.ends_with(&wanted),
            Err(_) => {
                refused += 1;
                false
            }
        } {
            ensure!(begun.elapsed() < CHANGE_MAX, "a changed route does not hold after {CHANGE_MAX:?}");
            std::thread::sleep(LOOK_EVERY);
        }
        times.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    Ok((times, refused))
}

/// One request on a connection of its own.
fn ask(router: SocketAddr, host: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect_timeout(&router, ANSWER_MAX)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    stream.write_all(format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    ensure!(answer.starts_with("HTTP/1.1 200 "), "{}", answer.lines().next().unwrap_or("no answer"));
    Ok(answer)
}
