//! The base from Debian's image of a registry: packages are installed in a container of it, and its file
//! system is exported.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;

use super::{EXCLUDED, Recipe};
use crate::progress;

/// Longest pull of the 30 MB, after which the registry counts as absent.
const PULL_TIMEOUT: Duration = Duration::from_secs(20);
/// Proxy variables, for a container behind a proxy that fetches Debian's packages.
pub const PROXY_VARIABLES: &[&str] = &["http_proxy", "https_proxy", "no_proxy"];

fn image(release: &str) -> String {
    format!("debian:{release}-slim")
}

/// Returns true if Docker has Debian's image or can pull it in time.
pub fn debian_is_here(release: &str) -> anyhow::Result<bool> {
    let image = image(release);
    if progress::succeeds(Command::new("docker").args(["image", "inspect", &image])) {
        return Ok(true);
    }
    println!("    asking the registry for {image} (at most {} s)", PULL_TIMEOUT.as_secs());
    let mut pull = Command::new("docker")
        .args(["pull", "--quiet", &image])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot run `docker pull`")?;
    let mut status = None;
    progress::wait_until(PULL_TIMEOUT, || {
        status = pull.try_wait().ok().flatten();
        status.is_some()
    });
    if status.is_none() {
        pull.kill().context("cannot stop `docker pull`")?;
        pull.wait().context("`docker pull` did not end")?;
    }
    Ok(status.is_some_and(|status| status.success()))
}

/// Installs the packages and exports the result to `target`.
pub fn make(recipe: Recipe<'_>, target: &Path) -> anyhow::Result<()> {
    let container = format!("deis-stack-{}", std::process::id());
    let made = install(&container, recipe).and_then(|()| {
        let file = File::create(target).with_context(|| format!("cannot make {}", target.display()))?;
        super::run_into(Command::new("docker").args(["export", &container]), file)
    });
    let removed = progress::output(Command::new("docker").args(["rm", "--force", &container]));
    made.and(removed.map(drop))
}

fn install(container: &str, recipe: Recipe<'_>) -> anyhow::Result<()> {
    let (packages, finish) = (recipe.packages, recipe.finish());
    let excludes: Vec<_> = EXCLUDED.iter().map(|path| format!("path-exclude={path}")).collect();
    let script = format!(
        "set -e; printf '%s\\n' {excludes} path-include='/usr/share/doc/*/copyright' >/etc/dpkg/dpkg.cfg.d/stack\n\
         export DEBIAN_FRONTEND=noninteractive\n\
         apt-get update --quiet=2\n\
         apt-get install --yes --quiet=2 --no-install-recommends -o Dpkg::Use-Pty=0 {packages} >/dev/null\n\
         apt-get clean; rm -rf /var/lib/apt/lists/* /etc/dpkg/dpkg.cfg.d/stack\n\
         {finish}",
        excludes = excludes.iter().map(|line| format!("'{line}'")).collect::<Vec<_>>().join(" "),
        packages = packages.join(" "),
    );
    let mut command = Command::new("docker");
    command.args(["run", "--name", container]);
    command.args(PROXY_VARIABLES.iter().flat_map(|name| ["--env", name]));
    progress::run(command.args([&image(recipe.release), "sh", "-c", &script]))
}
