//! `cargo xtask bench router`: cost of a request in our router, and in nginx with the same configuration.
//!
//! Both servers use the same core, in turn; clients, apps and this program use the next one. Ours is the router of
//! `workflow router`, built as it is shipped, with a generated table instead of a watched one
//! (`crates/router/examples/bench_edge.rs`); nginx is Debian's, with `router/nginx.conf`.

mod changes;
mod cost;
mod servers;
mod visitors;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

use self::servers::{Bed, Options, Peer, WHO};
use super::figures::Figures;
use super::{beside, processes};
use crate::{packages, paths, progress};

/// Core of the measured servers, and that of everything else.
const SERVER_CORE: usize = 0;
const LOAD_CORE: usize = 1;

/// Goal: memory of the table with 10,000 hosts.
const TABLE_MIB_MAX: f64 = 20.0;

/// The router compared with nginx.
#[derive(Debug, clap::Args)]
pub struct Router {
    /// Seconds of each load.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Paired runs; figures are their medians.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Numbers of hosts for which memory is measured; the largest is used for route changes.
    #[arg(long, value_delimiter = ',', default_values_t = [10, 1_000, 10_000])]
    hosts: Vec<usize>,
    /// Number of route changes, under 1,000 requests a second.
    #[arg(long, default_value_t = 1_000)]
    changes: usize,
}

impl Router {
    /// Measures beside nginx, or beside the router of another checkout.
    pub fn run(&self, other: Option<&Path>) -> anyhow::Result<Figures> {
        ensure!(self.seconds > 0 && self.runs > 0, "expected at least one run of one second");
        ensure!(
            self.hosts.iter().all(|hosts| *hosts >= 10),
            "--hosts: expected at least 10, which are changed in turn"
        );
        use packages::{AB, NGINX, TASKSET, WRK};
        packages::ensure(&[NGINX, WRK, AB, TASKSET])?;
        let program = build(None)?;
        let peer = other.map_or(Ok(Peer::Nginx), |checkout| build(Some(checkout)).map(Peer::Build))?;
        pin_to_load_core()?;

        let bed = Bed::make(program, peer)?;
        let mut figures = Figures::new("router");
        progress::step(&format!("CPU and latency, {} paired runs", self.runs), || {
            cost::measure(&bed, Duration::from_secs(self.seconds), self.runs, &mut figures)
        })?;
        progress::step("Memory", || self.memory(&bed, &mut figures))?;
        let hosts = self.hosts.iter().copied().max().unwrap_or(10);
        progress::step(&format!("{} changes of {hosts} routes", self.changes), || {
            changes::measure(&bed, hosts, self.changes, &mut figures)
        })?;
        bed.take_down()?;
        Ok(figures)
    }

    /// Measured after a short load, so that buffers are allocated.
    fn memory(&self, bed: &Bed, figures: &mut Figures) -> anyhow::Result<()> {
        let mut ours = Vec::new();
        for hosts in &self.hosts {
            let [router, peer] = WHO.map(|who| -> anyhow::Result<f64> {
                let server = bed.start(who, Options { hosts: *hosts, access_log: false })?;
                visitors::keep_alive(&server.url(false), 64, Duration::from_secs(1))?;
                processes::pss_mib(&server.processes()?)
            });
            let router = router?;
            figures.compare(format!("memory (PSS), {hosts} hosts"), router, peer?, "MiB");
            ours.push(router);
        }
        let smallest = ours.iter().copied().fold(f64::INFINITY, f64::min);
        let table = ours.iter().copied().fold(0.0, f64::max) - smallest;
        figures.add("memory of the largest table over the smallest", table, "MiB");
        if table > TABLE_MIB_MAX {
            figures.miss(format!("table above {TABLE_MIB_MAX} MiB"));
        }
        Ok(())
    }
}

/// Builds the router to be measured as it is shipped, here or in another checkout.
fn build(checkout: Option<&Path>) -> anyhow::Result<PathBuf> {
    let (mut cargo, target) = match checkout {
        Some(checkout) => (beside::cargo(checkout)?, beside::target()),
        None => (Command::new(paths::cargo()), paths::target()),
    };
    let place = checkout.map_or_else(paths::checkout, Path::to_owned);
    progress::step(&format!("Build the router of {}, as it is shipped", place.display()), || {
        let build = ["build", "--profile=dist", "--package=router", "--example=bench_edge"];
        progress::run(cargo.current_dir(&place).args(build))
    })?;
    Ok(target.join("dist/examples/bench_edge"))
}

/// Threads and programs that are started afterwards inherit the core; servers are moved to theirs.
fn pin_to_load_core() -> anyhow::Result<()> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    ensure!(cores >= 2, "servers and visitors need a core each, and this machine has one");
    let mut core = CpuSet::new();
    core.set(LOAD_CORE)?;
    sched_setaffinity(Pid::from_raw(0), &core).context("cannot stay on one core")
}
