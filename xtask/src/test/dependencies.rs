//! Policy of dependencies: none is unused, doubled, of an unwanted license or source, or known to be vulnerable.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;

use crate::{paths, progress};

/// Tools that check dependencies, with the versions that the checks were written for.
const CARGO_DENY: (&str, &str) = ("cargo-deny", "0.20.2");
const CARGO_MACHETE: (&str, &str) = ("cargo-machete", "0.9.2");
/// Longest fetch of the database of advisories.
const FETCH_MAX: Duration = Duration::from_secs(120);

pub fn check() -> anyhow::Result<()> {
    [CARGO_DENY, CARGO_MACHETE].into_iter().try_for_each(install_tool)?;
    let mut unused = Command::new(tool(CARGO_MACHETE.0));
    progress::run(unused.arg(paths::checkout()))
        .context("a package does not use a dependency that it names")?;
    progress::run(&mut deny(&["check", "bans", "licenses", "sources"]))?;
    let is_fetched = progress::succeeds(&mut progress::within(FETCH_MAX, &deny(&["fetch", "db"])));
    match advisories() {
        None => println!("    advisories were NOT checked: their database is not here and cannot be fetched"),
        Some(database) => {
            if !is_fetched {
                println!(
                    "    advisories may be out of date: {} could not be brought up to date",
                    database.display()
                );
            }
            progress::run(&mut deny(&["--offline", "check", "advisories"])).context(
                "an advisory names a crate in use: update it, or list its id with a reason in deny.toml",
            )?;
        }
    }
    Ok(())
}

fn install_tool((name, version): (&str, &str)) -> anyhow::Result<()> {
    if tool(name).is_file() {
        return Ok(());
    }
    progress::step(&format!("Install {name}"), || {
        let root = paths::cache().join("tools");
        // It is fast enough without optimization, and builds in half the time.
        let install = ["install", "--quiet", "--locked", "--debug", name, "--version", version, "--root"];
        progress::run(super::cargo(&install).arg(root).env("CARGO_PROFILE_DEV_DEBUG", "0"))
    })
}

fn tool(name: &str) -> PathBuf {
    paths::cache().join("tools/bin").join(name)
}

/// A command of cargo-deny; its global options come first.
fn deny(arguments: &[&str]) -> Command {
    let mut command = Command::new(tool(CARGO_DENY.0));
    command.current_dir(paths::checkout()).arg("--log-level=error").args(arguments);
    command
}

/// The database of advisories that cargo-deny keeps, if there is one.
fn advisories() -> Option<PathBuf> {
    let cargo = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let cargo = cargo.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")))?;
    let folders = std::fs::read_dir(cargo.join("advisory-dbs")).ok()?.flatten().map(|entry| entry.path());
    folders.into_iter().find(|folder| folder.join("crates").is_dir())
}
