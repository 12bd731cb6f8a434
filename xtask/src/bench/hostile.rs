//! `cargo xtask bench hostile`: cost of hostile clients with many connections, and the service for others meanwhile.
//!
//! Half-sent heads and logins are tried on router and API, from 100 loopback addresses and from one; memory is measured
//! before, at the peak and a minute later, while probes request an app and the API. Then logins with wrong
//! passwords, while others log in; and, with `--ordinary`, pushes and commands of the client as of a quarter of an hour.

mod client;
mod listening;
mod probe;

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::figures::Figures;
use super::processes::pss_mib;
use super::world::World;
use crate::platform::password;
pub use client::Client;
use client::Kind;
use probe::Probe;

const APP: &str = "besieged";
/// Processes that share the connections: one process may not open that many.
const CLIENTS: usize = 2;
/// Time that connections are held after all were tried.
const HOLD: Duration = Duration::from_secs(15);
/// Longest time until they are tried.
const TRY_MAX: Duration = Duration::from_secs(120);
const REST: Duration = Duration::from_secs(60);
const LOGINS_FOR: Duration = Duration::from_secs(20);

/// Goals of the project.
const COST_MIB_MAX: f64 = 100.0;
const AFTER_ORDINARY_MIB_MAX: f64 = 80.0;
const P99_MS_MAX: f64 = 1_000.0;

const PUSHES: usize = 60;
const COMMANDS: usize = 1_000;

/// Size of the attack.
#[derive(Debug, clap::Args)]
pub struct Hostile {
    /// Connections that are tried at once.
    #[arg(long, default_value_t = 25_500)]
    connections: usize,
    /// Also 60 pushes and 1,000 commands of the client, and the memory a minute later.
    #[arg(long)]
    ordinary: bool,
}

/// One attack on a target.
struct Siege<'a> {
    name: &'a str,
    target: SocketAddr,
    kind: Kind,
    sources: u8,
}

impl Hostile {
    pub fn run(&self, world: &World) -> anyhow::Result<Figures> {
        let source = world.app(APP, "static")?;
        world.push(&source)?;
        world.wait_for_answer(APP, "")?;
        let router = world.front_door();
        let main = world.platform.pid().context("the platform does not run")?;
        let api = listening::api_of(main)?;
        let mut figures = Figures::new("hostile");
        for (name, target, kind, sources) in [
            ("router, half-sent heads, 100 sources", router, Kind::Head, 100),
            ("router, half-sent logins, one source", router, Kind::Login, 1),
            ("API, half-sent logins, 100 sources", api, Kind::Login, 100),
            ("API, half-sent heads, one source", api, Kind::Head, 1),
        ] {
            self.besiege(world, &Siege { name, target, kind, sources }, &mut figures)?;
        }
        self.wrong_logins(world, router, &mut figures)?;
        if self.ordinary {
            ordinary(world, &source, &mut figures)?;
        }
        Ok(figures)
    }

    fn besiege(&self, world: &World, siege: &Siege<'_>, figures: &mut Figures) -> anyhow::Result<()> {
        let Siege { name, target, kind, sources } = siege;
        println!("    {name}: {} connections", self.connections);
        let processes = world.processes()?;
        let before = pss_mib(&processes)?;
        let probes = probes(world, target)?;
        let each = self.connections.div_ceil(CLIENTS);
        let clients = (0..CLIENTS).map(|_| spawn(*target, *kind, *sources, each));
        let mut clients = clients.collect::<anyhow::Result<Vec<_>>>()?;
        let (mut peak, begun, mut tried_at) = (before, Instant::now(), None);
        while begun.elapsed() < TRY_MAX && tried_at.is_none_or(|at: Instant| at.elapsed() < HOLD) {
            std::thread::sleep(Duration::from_millis(250));
            peak = peak.max(pss_mib(&processes)?);
            if tried_at.is_none() && clients.iter_mut().all(client::has_tried) {
                tried_at = Some(Instant::now());
            }
        }
        let told: Vec<_> = clients.into_iter().map(client::end).collect();
        println!("      {}", told.join("; "));
        for (who, probe) in probes {
            let seen = probe.stop();
            println!("      {who}: {seen}");
            figures.add(format!("{name}: p99 of {who}"), seen.p99_ms, "ms");
            figures.add(
                format!("{name}: failures of {who} in {}", seen.asked),
                seen.failed as f64,
                "requests",
            );
            if seen.failed > 0 || seen.p99_ms > P99_MS_MAX {
                figures.note(format!("{name}: {who} was not always answered within a second"));
            }
        }
        println!("      rest for {} s", REST.as_secs());
        std::thread::sleep(REST);
        let after = pss_mib(&processes)?;
        figures.add(format!("{name}: memory before"), before, "MiB");
        figures.compare(
            format!("{name}: memory taken at the peak, of the goal"),
            peak - before,
            COST_MIB_MAX,
            "MiB",
        );
        figures.add(format!("{name}: memory kept a minute later"), after - before, "MiB");
        if peak - before > COST_MIB_MAX {
            figures.note(format!("{name}: took more than {COST_MIB_MAX} MiB"));
        }
        Ok(())
    }

    /// Measures logins while other clients guess passwords from many addresses.
    fn wrong_logins(&self, world: &World, router: SocketAddr, figures: &mut Figures) -> anyhow::Result<()> {
        for sources in [100, 1] {
            let name = format!("wrong logins from {sources} sources");
            println!("    {name}");
            let clients = (0..CLIENTS).map(|_| spawn(router, Kind::WrongLogin, sources, 64));
            let clients = clients.collect::<anyhow::Result<Vec<_>>>()?;
            let login = Probe::login(router, &password(&world.platform)?);
            std::thread::sleep(LOGINS_FOR);
            let seen = login.stop();
            let told: Vec<_> = clients.into_iter().map(client::end).collect();
            println!("      {}; others' logins: {seen}", told.join("; "));
            figures.add(format!("{name}: p99 of another's login"), seen.p99_ms, "ms");
            figures.add(
                format!("{name}: failures of another's in {}", seen.asked),
                seen.failed as f64,
                "logins",
            );
            if seen.failed > 0 || seen.p99_ms > P99_MS_MAX {
                figures.note(format!("{name}: others did not always log in within a second"));
            }
        }
        Ok(())
    }
}

/// Probes of an app and of the API through the router, and of the API's own port where that is attacked.
fn probes(world: &World, target: &SocketAddr) -> anyhow::Result<Vec<(&'static str, Probe)>> {
    let router = world.front_door();
    let mut probes = vec![
        ("a visitor", Probe::get(router, &format!("{APP}.localhost"), "/", 200)),
        ("a user of the API", Probe::get(router, "deis.localhost", "/v2/", 401)),
    ];
    if *target != router {
        probes.push(("who asks the API directly", Probe::get(*target, "deis.localhost", "/v2/", 401)));
    }
    Ok(probes)
}

fn spawn(target: SocketAddr, kind: Kind, sources: u8, connections: usize) -> anyhow::Result<Child> {
    Command::new(std::env::current_exe()?)
        .args(["bench", "hostile-client", &target.to_string(), kind.name()])
        .args([sources.to_string(), connections.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start a hostile client")
}

fn ordinary(world: &World, source: &std::path::Path, figures: &mut Figures) -> anyhow::Result<()> {
    let processes = world.processes()?;
    figures.add("ordinary use: memory before", pss_mib(&processes)?, "MiB");
    for number in 1..=PUSHES {
        // The logins that were measured have pushed this client's token out of those that a user may have.
        let secret = format!("--password={}", password(&world.platform)?);
        world.deis(source, &["login", &world.platform.url(), "--username=bench", &secret])?;
        world.commit(source, &number.to_string())?;
        world.push(source)?;
        for turn in 0..COMMANDS / PUSHES + 1 {
            let command: &[&str] = match turn % 4 {
                0 => &["info"],
                1 => &["ps"],
                2 => &["logs"],
                _ => &["releases"],
            };
            world.deis(source, command)?;
        }
        if number % 10 == 0 {
            println!("    {number} of {PUSHES} pushes, {:.0} MiB", pss_mib(&world.processes()?)?);
        }
    }
    figures.add("ordinary use: memory at its end", pss_mib(&world.processes()?)?, "MiB");
    println!("    rest for {} s", REST.as_secs());
    std::thread::sleep(REST);
    let after = pss_mib(&world.processes()?)?;
    figures.compare("ordinary use: memory a minute later, of the goal", after, AFTER_ORDINARY_MIB_MAX, "MiB");
    if after > AFTER_ORDINARY_MIB_MAX {
        figures.note(format!("ordinary use left more than {AFTER_ORDINARY_MIB_MAX} MiB"));
    }
    Ok(())
}
