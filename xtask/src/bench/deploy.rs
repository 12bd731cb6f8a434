//! Time of the deploy of an image, compared with kubectl on the same manifest.
//!
//! Both change between two images that the nodes have. `deis pull` resolves the image's name and copies the image
//! into the platform's registry; kubectl gets the digest there.
//!
//! A kubelet checks its containers once a second, so the time of a deploy depends on when within the second it
//! begins. Both deploys of a pair begin at the same fraction, and pairs are spread over the second.

mod peer;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;

use super::figures::{Figures, median};
use super::world::{Installation, World};
use peer::Peer;

const APP: &str = "deployer";
const PAIRS: usize = 10;
/// Starts at once, so that the platform's part counts.
const PROCFILE: &str = "--procfile=web: exec slug static /usr/share/common-licenses";

pub fn run(world: &World) -> anyhow::Result<Figures> {
    let installation = world.installation()?;
    let folder = world.platform.path("");
    world.deis(&folder, &["create", "--no-remote", APP])?;
    // The image exposes no port, so the config sets it.
    world.deis(&folder, &["config:set", "PORT=5000", &format!("--app={APP}")])?;
    let images = images(world, installation)?;
    let peer = Peer::like(world, installation, APP)?;

    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    // The last image runs first, of both.
    for (pair, image) in images.iter().cycle().take(PAIRS).enumerate() {
        ours.push(timed(pair, || pull(world, &image.name))?);
        world.wait_for_replicas(APP, 1)?;
        theirs.push(timed(pair, || peer.deploy(&image.pinned))?);
        peer.wait_until_settled()?;
        println!("    deis pull {:.2} s, kubectl {:.2} s", ours[pair], theirs[pair]);
    }
    let mut figures = Figures::new("deploy");
    figures.compare("image to live", median(&ours), median(&theirs), "s");
    Ok(figures)
}

/// An image: its name for users, and its name for the nodes.
struct Image {
    name: String,
    pinned: String,
}

/// Deploys both, with two replicas so that all nodes get them.
fn images(world: &World, installation: &Installation) -> anyhow::Result<Vec<Image>> {
    let scale = |count: &str| {
        let app = format!("--app={APP}");
        world.deis(&world.platform.path(""), &["scale", &format!("web={count}"), &app])
    };
    let names = installation.images()?;
    pull(world, &names[0])?;
    scale("2")?;
    let deployed = |name: String| {
        pull(world, &name)?;
        world.wait_for_replicas(APP, 2)?;
        let image = "jsonpath={.items[0].spec.template.spec.containers[0].image}";
        let namespace = installation.namespace_of(APP);
        let pinned = installation.kubectl(&namespace, &["get", "deployments", "--output", image])?;
        Ok(Image { name, pinned })
    };
    let images = names.into_iter().map(deployed).collect::<anyhow::Result<Vec<_>>>()?;
    scale("1")?;
    world.wait_for_replicas(APP, 1)?;
    Ok(images)
}

fn pull(world: &World, image: &str) -> anyhow::Result<()> {
    let app = format!("--app={APP}");
    world.deis(&world.platform.path(""), &["pull", image, PROCFILE, &app]).context("deis pull").map(drop)
}

/// Runs the work at the pair's fraction of a second; returns its duration in seconds.
fn timed(pair: usize, work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock")?;
    std::thread::sleep(until(pair, Duration::from_nanos(now.subsec_nanos().into())));
    let begun = Instant::now();
    work()?;
    Ok(begun.elapsed().as_secs_f64())
}

/// Time from this fraction of a second to that of the pair.
fn until(pair: usize, now: Duration) -> Duration {
    let second = Duration::from_secs(1);
    // Not in ascending order, as the time of the kubelet's check drifts.
    let begins = second.mul_f64((pair * 3 % PAIRS) as f64 / PAIRS as f64);
    if begins >= now { begins - now } else { begins + second - now }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn pairs_begin_at_times_that_are_spread_over_the_second() {
        let now = Duration::from_millis(350);

        assert_eq!(until(0, now), Duration::from_millis(650));
        assert_eq!(until(1, now), Duration::from_millis(950));
        assert_eq!(until(8, now), Duration::from_millis(50));
        assert_eq!(until(5, Duration::from_millis(500)), Duration::ZERO);
        let all: BTreeSet<_> = (0..PAIRS).map(|pair| until(pair, Duration::ZERO)).collect();
        assert_eq!(all.len(), PAIRS);
    }
}
