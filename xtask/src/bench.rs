//! `cargo xtask bench`: measurements, as a table for people and as lines of JSON for machines.

mod figures;
mod load;
mod memory;
mod push;
mod roll;
mod world;

use std::path::PathBuf;

use clap::Subcommand;

use figures::Figures;
use world::World;

/// Measure: `push`, `roll` or `memory`.
#[derive(Debug, clap::Args)]
pub struct Bench {
    #[command(subcommand)]
    what: What,
    /// Append one line of JSON a figure to this file.
    #[arg(long, global = true)]
    json: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Time from `git push` to the first answer, in parts; median of five.
    Push,
    /// Requests lost while releases roll, at 500 and 1,000 a second, with one and two replicas.
    Roll(roll::Roll),
    /// Memory (PSS) of all platform processes, 60 s after pushing five apps.
    Memory,
}

impl Bench {
    pub fn run(&self) -> anyhow::Result<()> {
        let world = World::start()?;
        let figures = match &self.what {
            What::Push => push::run(&world),
            What::Roll(roll) => roll.run(&world),
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
}
