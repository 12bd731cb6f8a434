//! CPU of a request, and latency: both routers in turn, several times, so that both run under the same conditions.

use std::time::Duration;

use super::servers::{Bed, Options, Peer, Server, ServerName, WHO};
use super::visitors;
use crate::bench::figures::{Figures, median};
use crate::bench::processes;

const HOSTS: usize = 10;
const MICROSECONDS: &str = "us";
const MILLISECONDS: &str = "ms";

/// Goals: ours divided by nginx's.
const RATIOS_MAX: [(&str, f64); 3] = [(PLAIN, 0.9), (TLS, 0.75), (HANDSHAKE, 0.65)];
const PLAIN: &str = "CPU of a request, plain, 64 connections";
const MANY: &str = "CPU of a request, plain, 1,000 connections";
const LOGGED: &str = "CPU of a request, plain, with access log";
const TLS: &str = "CPU of a request, TLS, 64 connections";
const HANDSHAKE: &str = "CPU of a request with a full handshake";

pub(super) fn measure(bed: &Bed, time: Duration, runs: usize, figures: &mut Figures) -> anyhow::Result<()> {
    let pairs = WHO.map(|who| Pair::start(bed, who));
    let [ours, peer] = pairs;
    let pairs = [ours?, peer?];
    let mut samples = Samples::default();
    for run in 0..runs {
        // The order alternates, so that a machine that slows down favors neither.
        let order = if run % 2 == 0 { [0, 1] } else { [1, 0] };
        for place in order {
            pairs[place].measure(time, |figure, unit, value| samples.add(figure, unit, place, value))?;
        }
        println!("    run {} of {runs} done", run + 1);
    }
    samples.tell(bed.peer == Peer::Nginx, figures);
    Ok(())
}

/// A server without access logs, and one with.
struct Pair {
    quiet: Server,
    logging: Server,
}

impl Pair {
    fn start(bed: &Bed, who: ServerName) -> anyhow::Result<Self> {
        let quiet = bed.start(who, Options { hosts: HOSTS, access_log: false })?;
        let logging = bed.start(who, Options { hosts: HOSTS, access_log: true })?;
        Ok(Self { quiet, logging })
    }

    fn measure(
        &self,
        time: Duration,
        mut add: impl FnMut(&'static str, &'static str, f64),
    ) -> anyhow::Result<()> {
        let Self { quiet, logging } = self;
        for (figure, p50, p99, connections) in [
            (PLAIN, "p50, 64 connections", "p99, 64 connections", 64),
            (MANY, "p50, 1,000 connections", "p99, 1,000 connections", 1_000),
        ] {
            let before = cpu(quiet)?;
            let answers = visitors::keep_alive(&quiet.url(false), connections, time)?;
            add(figure, MICROSECONDS, each(cpu(quiet)? - before, answers.requests));
            add(p50, MILLISECONDS, answers.p50_ms);
            add(p99, MILLISECONDS, answers.p99_ms);
        }
        for (figure, server, is_tls) in [(LOGGED, logging, false), (TLS, quiet, true)] {
            let before = cpu(server)?;
            let answers = visitors::keep_alive(&server.url(is_tls), 64, time)?;
            add(figure, MICROSECONDS, each(cpu(server)? - before, answers.requests));
        }
        let before = cpu(quiet)?;
        let handshakes = visitors::handshakes(&quiet.url(true), time)?;
        add(HANDSHAKE, MICROSECONDS, each(cpu(quiet)? - before, handshakes));
        Ok(())
    }
}

fn cpu(server: &Server) -> anyhow::Result<Duration> {
    server.processes()?.into_iter().map(processes::cpu).sum()
}

fn each(cpu: Duration, requests: u64) -> f64 {
    cpu.as_secs_f64() * 1e6 / requests as f64
}

/// Values of both, in the order in which the figures first appeared.
#[derive(Default)]
struct Samples(Vec<(&'static str, &'static str, [Vec<f64>; 2])>);

impl Samples {
    fn add(&mut self, figure: &'static str, unit: &'static str, place: usize, value: f64) {
        let position = self.0.iter().position(|(known, ..)| *known == figure).unwrap_or_else(|| {
            self.0.push((figure, unit, Default::default()));
            self.0.len() - 1
        });
        self.0[position].2[place].push(value);
    }

    fn tell(&self, is_nginx: bool, figures: &mut Figures) {
        for (figure, unit, [ours, peer]) in &self.0 {
            let (ours, peer) = (median(ours), median(peer));
            figures.compare(*figure, ours, peer, unit);
            for (_, ratio_max) in RATIOS_MAX.iter().filter(|(goal, _)| is_nginx && goal == figure) {
                if ours / peer > *ratio_max {
                    figures.miss(format!("{figure} above {ratio_max} of nginx's"));
                }
            }
        }
    }
}
