//! `cargo xtask bench`: measurements, as a table for people and as lines of JSON for machines.

mod deploy;
mod figures;
mod load;
mod memory;
mod push;
mod roll;
mod world;

use std::path::PathBuf;

use anyhow::bail;
use clap::Subcommand;

use figures::Figures;
use world::World;

/// Measure: `push`, `roll`, `deploy` or `memory`.
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
}

impl Bench {
    pub fn run(&self) -> anyhow::Result<()> {
        if self.cluster && !world::is_inside() {
            return world::again_inside(matches!(self.what, What::Deploy));
        }
        let world = self.world()?;
        let figures = match &self.what {
            What::Push => push::run(&world),
            What::Roll(roll) => roll.run(&world),
            What::Deploy => deploy::run(&world),
            What::Memory => memory::run(&world),
        };
        // The platform is taken down also when the bench failed.
        let taken_down = world.take_down();
        let figures: Figures = figures?;
        taken_down?;
        figures.print();
        match &self.json {
            Some(file) => figures.append_to(file),
            None => Ok(()),
        }
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
