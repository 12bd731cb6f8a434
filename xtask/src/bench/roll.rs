//! Requests lost while releases roll: the promise is none.

use anyhow::ensure;

use super::figures::Figures;
use super::load::{Load, Outcome};
use super::world::World;

const APP: &str = "roller";

/// How much to roll.
#[derive(Debug, clap::Args)]
pub struct Roll {
    /// Releases to roll out under each load.
    #[arg(long, default_value_t = 5)]
    releases: u32,
}

impl Roll {
    pub fn run(&self, world: &World) -> anyhow::Result<Figures> {
        let source = world.app(APP, "static")?;
        world.push(&source)?;
        world.wait_for_answer(APP, "")?;
        let mut figures = Figures::new("roll");
        for replicas in [1, 2] {
            world.deis(&source, &["scale", &format!("web={replicas}")])?;
            for rate in [500, 1_000] {
                println!("    {rate} requests a second, {replicas} replicas, {} releases", self.releases);
                let outcome = self.under_load(world, rate, replicas)?;
                for reason in &outcome.reasons {
                    println!("      lost at {reason}");
                }
                let suffix = format!("rate {rate} replicas {replicas}");
                figures.add(format!("sent, {suffix}"), outcome.sent as f64, "requests");
                figures.add(format!("lost, {suffix}"), outcome.lost as f64, "requests");
                figures.add(format!("rate, {suffix}"), outcome.rate, "requests/s");
                ensure!(
                    outcome.rate >= 0.99 * rate as f64,
                    "only {:.0} of {rate} requests a second were sent: this machine is too busy to measure",
                    outcome.rate
                );
            }
        }
        Ok(figures)
    }

    /// Each roll is whole: the next one begins when the old replicas of the one before are gone.
    fn under_load(&self, world: &World, rate: u64, replicas: usize) -> anyhow::Result<Outcome> {
        let load = Load::start(world.platform.http_port, &format!("{APP}.localhost"), rate);
        let folder = world.platform.path(APP);
        let rolled = (0..self.releases).try_for_each(|number| {
            let value = format!("ROLL=rate-{rate}-{number}-{:?}", std::time::Instant::now());
            world.deis(&folder, &["config:set", &value])?;
            world.wait_for_replicas(APP, replicas)
        });
        let outcome = load.stop();
        rolled?;
        Ok(outcome)
    }
}
