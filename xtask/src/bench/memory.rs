//! Memory of the platform at rest: proportional set size, so that shared pages count once.

use std::time::Duration;

use super::figures::Figures;
use super::processes::pss_mib;
use super::world::{DISTRIBUTION, Installation, World};

const APPS: usize = 5;
/// Time after which builds are over and allocators have returned memory.
const REST: Duration = Duration::from_secs(60);

pub fn run(world: &World) -> anyhow::Result<Figures> {
    match world.installation() {
        Ok(installation) => of_roles(installation),
        Err(_) => of_one_machine(world),
    }
}

fn of_one_machine(world: &World) -> anyhow::Result<Figures> {
    for number in 1..=APPS {
        let name = format!("rest-{number}");
        let source = world.app(&name, "static")?;
        world.push(&source)?;
        world.wait_for_answer(&name, "")?;
        println!("    {number} of {APPS} apps pushed");
    }
    rest();
    let mut figures = Figures::new("memory");
    let processes = world.processes()?;
    figures.add("platform processes", processes.len() as f64, "processes");
    figures.add("PSS of all platform processes", pss_mib(&processes)?, "MiB");
    Ok(figures)
}

fn of_roles(installation: &Installation) -> anyhow::Result<Figures> {
    rest();
    let mut figures = Figures::new("memory");
    let mut sum = 0.0;
    for (role, processes) in installation.processes()? {
        let size = pss_mib(&processes)?;
        figures.add(format!("PSS of {role}"), size, "MiB");
        if role != DISTRIBUTION {
            sum += size;
        }
    }
    figures.add("PSS of all roles, without Distribution", sum, "MiB");
    Ok(figures)
}

fn rest() {
    println!("    rest for {} s", REST.as_secs());
    std::thread::sleep(REST);
}
