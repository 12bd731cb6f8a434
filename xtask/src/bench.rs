//! `cargo xtask bench`: measurements, as a table for people and as lines of JSON for machines.

mod api;
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

/// Measure: `push`, `roll`, `memory` or `api`.
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
    /// Cost of requests to the API, with 10, 1,000 and 10,000 apps, on SQLite and PostgreSQL.
    Api(api::Api),
}

impl Bench {
    pub fn run(&self) -> anyhow::Result<()> {
        let figures = match &self.what {
            What::Push => in_a_world(push::run),
            What::Roll(roll) => in_a_world(|world| roll.run(world)),
            What::Memory => in_a_world(memory::run),
            What::Api(api) => api.run(),
        }?;
        figures.print();
        if let Some(file) = &self.json {
            figures.append_to(file)?;
        }
        figures.hold()
    }
}

/// Measures a platform of its own, which is taken down also when the bench failed.
fn in_a_world(measure: impl FnOnce(&World) -> anyhow::Result<Figures>) -> anyhow::Result<Figures> {
    let world = World::start()?;
    let figures = measure(&world);
    let taken_down = world.take_down();
    let figures = figures?;
    taken_down?;
    Ok(figures)
}
