//! Requests lost while releases roll: none is allowed. And, on a cluster, when a pod is killed: at most those
//! that it was answering.

use std::time::Duration;

use anyhow::ensure;

use super::figures::Figures;
use super::load::{Load, Outcome};
use super::world::{Installation, World};

const APP: &str = "roller";
const RATES: [u64; 2] = [500, 1_000];
const REPLICAS: [usize; 2] = [1, 2];
/// Longest wait for a response during a roll.
const ROLL_TIMEOUT: Duration = Duration::from_millis(256);
/// Longest wait of requests for the successor of the only replica, which was killed.
const KILL_TIMEOUT: Duration = Duration::from_secs(2);

/// Size of the roll.
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
        for replicas in REPLICAS {
            world.deis(&source, &["scale", &format!("web={replicas}")])?;
            for rate in RATES {
                println!("    {rate} requests a second, {replicas} replicas, {} releases", self.releases);
                let outcome = self.under_load(world, rate, replicas)?;
                add(&mut figures, "", &outcome, rate, replicas);
                ensure!(
                    outcome.rate >= 0.99 * rate as f64,
                    "only {:.0} of {rate} requests a second were sent: this machine is too busy to measure",
                    outcome.rate
                );
                if let Ok(installation) = world.installation() {
                    killed(world, installation, rate, replicas, &mut figures)?;
                }
            }
        }
        Ok(figures)
    }

    /// Each roll completes: the next one begins when the old replicas of the previous one are gone.
    fn under_load(&self, world: &World, rate: u64, replicas: usize) -> anyhow::Result<Outcome> {
        let load = start(world, rate, ROLL_TIMEOUT);
        let folder = world.platform.path(APP);
        let rolled = (0..self.releases).try_for_each(|number| {
            let value = format!("ROLL=rate-{rate}-{number}-{:?}", std::time::Instant::now());
            std::thread::scope(|scope| {
                let roll = scope.spawn(|| world.deis(&folder, &["config:set", &value]));
                let deleted = match world.installation() {
                    Ok(installation) if number == self.releases / 2 => installation.delete_pod(APP),
                    _ => Ok(()),
                };
                roll.join().map_err(|_| anyhow::anyhow!("a roll panicked"))??;
                deleted
            })?;
            world.wait_for_replicas(APP, replicas)
        });
        let outcome = load.stop();
        rolled?;
        Ok(outcome)
    }
}

fn start(world: &World, rate: u64, timeout: Duration) -> Load {
    Load::start(world.front_door(), &format!("{APP}.localhost"), rate, timeout)
}

/// Kills a pod's processes under load.
fn killed(
    world: &World,
    installation: &Installation,
    rate: u64,
    replicas: usize,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    let processes = installation.processes_of_a_pod(APP)?;
    let load = start(world, rate, if replicas == 1 { KILL_TIMEOUT } else { ROLL_TIMEOUT });
    let done = load.wait_for_requests(rate).and_then(|()| {
        let under_way = load.under_way_during(|| installation.kill(&processes))?;
        // Time for the successor to start and for the router to get the new table.
        load.wait_for_requests(5 * rate)?;
        Ok(under_way)
    });
    let outcome = load.stop();
    let under_way = done?;
    println!("      pod killed: {under_way} requests under way at that moment");
    add(figures, "pod killed: ", &outcome, rate, replicas);
    figures.add(
        format!("pod killed: under way then, rate {rate} replicas {replicas}"),
        under_way as f64,
        "requests",
    );
    world.wait_for_replicas(APP, replicas)
}

fn add(figures: &mut Figures, when: &str, outcome: &Outcome, rate: u64, replicas: usize) {
    let Outcome { sent, lost, rate: sent_rate, reasons } = outcome;
    println!("      {when}{sent} sent, {lost} lost");
    for reason in reasons {
        println!("      {when}lost at {reason}");
    }
    let suffix = format!("rate {rate} replicas {replicas}");
    figures.add(format!("{when}sent, {suffix}"), *sent as f64, "requests");
    figures.add(format!("{when}lost, {suffix}"), *lost as f64, "requests");
    figures.add(format!("{when}rate, {suffix}"), *sent_rate, "requests/s");
}
