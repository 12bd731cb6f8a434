//! `cargo xtask bench`: measurements, as a table on the terminal and as lines of JSON for programs.

mod api;
mod beside;
mod deploy;
mod figures;
mod hostile;
mod load;
mod memory;
mod processes;
mod push;
mod roll;
mod router;
mod world;

use std::path::PathBuf;

use anyhow::{bail, ensure};
use clap::Subcommand;

use figures::Figures;
use world::World;

/// Measure: `push`, `roll`, `deploy`, `memory`, `api`, `router` or `hostile`.
#[derive(Debug, clap::Args)]
pub struct Bench {
    #[command(subcommand)]
    what: BenchKind,
    /// On the Kubernetes of `cargo xtask cluster` instead of this machine's Docker.
    #[arg(long, global = true)]
    cluster: bool,
    /// Append one line of JSON a figure to this file.
    #[arg(long, global = true)]
    json: Option<PathBuf>,
    /// Compare with the code of another checkout, for example a worktree of an earlier commit: the router with its router instead of
    /// nginx, the others with what its own `cargo xtask bench` measures after ours.
    #[arg(long, global = true, value_name = "CHECKOUT", conflicts_with = "cluster")]
    beside: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum BenchKind {
    /// Time from `git push` to the first answer, in parts; medians of ten.
    Push,
    /// Requests lost while releases roll, at 500 and 1,000 a second, with one and two replicas.
    ///
    /// On a cluster a pod is deleted in the middle; requests that are lost when a pod is killed are counted separately.
    Roll(roll::Roll),
    /// Time of `deis pull`, compared with `kubectl set image` and `kubectl rollout status`; on a cluster only.
    Deploy,
    /// Memory (PSS) of all platform processes: 60 s after pushing five apps; on a cluster of each role, 60 s after
    /// the installation.
    Memory,
    /// Cost of requests to the API, with 10, 1,000 and 10,000 apps, on SQLite and PostgreSQL.
    Api(api::Api),
    /// The router compared with nginx: CPU of a request, latency, memory, and the delay of a route change.
    Router(router::Router),
    /// Memory for 25,500 connections of hostile clients, and the service for others meanwhile.
    Hostile(hostile::Hostile),
    /// One process of `hostile`.
    #[command(hide = true)]
    HostileClient(hostile::Client),
}

impl Bench {
    pub fn run(&self) -> anyhow::Result<()> {
        if let BenchKind::HostileClient(client) = &self.what {
            return client.run();
        }
        ensure!(
            !(self.cluster
                && matches!(self.what, BenchKind::Api(_) | BenchKind::Router(_) | BenchKind::Hostile(_))),
            "API, router and hostile clients are measured without a cluster: leave out --cluster"
        );
        if self.cluster && !world::is_inside() {
            return world::again_inside(matches!(self.what, BenchKind::Deploy));
        }
        let mut figures = match &self.what {
            BenchKind::Push => self.in_a_world(push::run),
            BenchKind::Roll(roll) => self.in_a_world(|world| roll.run(world)),
            BenchKind::Deploy => self.in_a_world(deploy::run),
            BenchKind::Memory => self.in_a_world(memory::run),
            BenchKind::Api(api) => api.run(),
            BenchKind::Router(router) => router.run(self.beside.as_deref()),
            BenchKind::Hostile(hostile) => self.in_a_world(|world| hostile.run(world)),
            BenchKind::HostileClient(_) => bail!("it was run above"),
        }?;
        if let Some(checkout) = self.beside.as_deref().filter(|_| !matches!(self.what, BenchKind::Router(_)))
        {
            figures.add_peer(&beside::measure(checkout)?);
        }
        figures.print();
        if let Some(file) = &self.json {
            figures.append_to(file)?;
        }
        figures.hold()
    }

    /// Measures a separate platform, which is removed also when the bench failed.
    fn in_a_world(&self, measure: impl FnOnce(&World) -> anyhow::Result<Figures>) -> anyhow::Result<Figures> {
        let world = self.world()?;
        let figures = measure(&world);
        let taken_down = world.take_down();
        let figures = figures?;
        taken_down?;
        Ok(figures)
    }

    fn world(&self) -> anyhow::Result<World> {
        match (&self.what, self.cluster) {
            (BenchKind::Deploy, false) => bail!("a deploy has its peer on a cluster only: add --cluster"),
            (_, false) => World::on_machine(),
            (BenchKind::Memory, true) => World::on_cluster(&["router.replicas=1"]),
            (_, true) => World::on_cluster(&[]),
        }
    }
}
