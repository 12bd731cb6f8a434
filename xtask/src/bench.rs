//! `cargo xtask bench`: measurements, as a table for people and as lines of JSON for machines.

mod api;
mod deploy;
mod figures;
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

/// Measure: `push`, `roll`, `deploy`, `memory`, `api` or `router`.
#[derive(Debug, clap::Args)]
pub struct Bench {
    #[command(subcommand)]
    what: What,
    /// On the Kubernetes of `cargo xtask cluster` instead of this machine's Docker.
    #[arg(long, global = true)]
    cluster: bool,
    /// Append one line of JSON a figure to this file.
    #[arg(long, global = true)]
    json: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Time from `git push` to the first answer, in parts; median of five.
    Push,
    /// Requests lost while releases roll, at 500 and 1,000 a second, with one and two replicas.
    ///
    /// On a cluster a pod is deleted in the middle; and what is lost when a pod is killed is told apart.
    Roll(roll::Roll),
    /// Time of `deis pull` beside `kubectl set image` and `kubectl rollout status`; on a cluster only.
    Deploy,
    /// Memory (PSS) of all platform processes: 60 s after pushing five apps; on a cluster of each role, 60 s after
    /// the installation.
    Memory,
    /// Cost of requests to the API, with 10, 1,000 and 10,000 apps, on SQLite and PostgreSQL.
    Api(api::Api),
    /// The router beside nginx: CPU of a request, latency, memory, and how soon a changed route holds.
    Router(router::Router),
}

impl Bench {
    pub fn run(&self) -> anyhow::Result<()> {
        ensure!(
            !(self.cluster && matches!(self.what, What::Api(_) | What::Router(_))),
            "API and router are measured without a cluster: leave out --cluster"
        );
        if self.cluster && !world::is_inside() {
            return world::again_inside(matches!(self.what, What::Deploy));
        }
        let figures = match &self.what {
            What::Push => self.in_a_world(push::run),
            What::Roll(roll) => self.in_a_world(|world| roll.run(world)),
            What::Deploy => self.in_a_world(deploy::run),
            What::Memory => self.in_a_world(memory::run),
            What::Api(api) => api.run(),
            What::Router(router) => router.run(),
        }?;
        figures.print();
        if let Some(file) = &self.json {
            figures.append_to(file)?;
        }
        figures.hold()
    }

    /// Measures a platform of its own, which is taken down also when the bench failed.
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
            (What::Deploy, false) => bail!("a deploy has its peer on a cluster only: add --cluster"),
            (_, false) => World::on_machine(),
            (What::Memory, true) => World::on_cluster(&["router.replicas=1"]),
            (_, true) => World::on_cluster(&[]),
        }
    }
}
