//! Debian packages that tests need, and the Docker of those that need one.

use crate::packages::{
    C_COMPILER, CURL, DNSMASQ, DOCKER, GIT, GUNICORN, HAPROXY, IPROUTE, IPTABLES, MMDEBSTRAP, NFTABLES,
    NGINX, NODE, POSTGRESQL, PYTHON, SLAPD, SSH, SSH_KEYGEN,
};
use crate::{binaries, daemon, packages, stack};

/// Packages of the workspace whose tests call programs; a program of the tests, and the Debian package that has it.
const NEEDS: &[(&str, &[(&str, &str)])] = &[
    ("builder", &[GIT, SSH, SSH_KEYGEN]),
    ("controller", &[SLAPD, DNSMASQ]),
    ("deis", &[GIT]),
    (WITH_IMAGES, &[DOCKER, GIT, MMDEBSTRAP, C_COMPILER]),
    // Behind the router, requests must mean the same to each of these servers.
    ("router", &[NGINX, HAPROXY, NODE, PYTHON, GUNICORN]),
    ("slug", &[GIT, CURL]),
    // They show the firewall's rules.
    (WITH_AUTHORITY, &[IPROUTE, NFTABLES, IPTABLES]),
    ("xtask", &[GIT]),
];
/// Its tests run images of the platform in Docker.
const WITH_IMAGES: &str = "engine-docker";
/// Its tests order certificates.
const WITH_AUTHORITY: &str = "workflow";

/// Installs the programs for the tests of one package, or of all.
pub fn install(package: Option<&str>) -> anyhow::Result<()> {
    let rows = NEEDS.iter().filter(|(name, _)| package.is_none_or(|package| package == *name));
    packages::ensure(&rows.flat_map(|(_, programs)| *programs).copied().collect::<Vec<_>>())
}

pub fn images_are_used_by(package: Option<&str>) -> bool {
    package.is_none_or(|package| package == WITH_IMAGES)
}

pub fn authority_is_used_by(package: Option<&str>) -> bool {
    package.is_none_or(|package| package == WITH_AUTHORITY)
}

/// Brings the images of builds into Docker.
pub fn images() -> anyhow::Result<()> {
    daemon::ensure_running()?;
    stack::ensure(&stack::StackOptions::standard(binaries::build_slug()?))
}

/// Brings the images of builds in all languages into Docker.
pub fn images_with_toolchains() -> anyhow::Result<()> {
    daemon::ensure_running()?;
    stack::ensure(&stack::StackOptions::with_all_toolchains(binaries::build_slug()?))
}

/// Installs the programs of the tests that run on PostgreSQL, and itself.
pub fn install_for_postgres() -> anyhow::Result<()> {
    packages::ensure(&[POSTGRESQL, SLAPD, DNSMASQ])
}

/// Installs the programs of scenarios on one machine.
pub fn install_for_scenarios() -> anyhow::Result<()> {
    packages::ensure(&[DOCKER, GIT, SSH, SSH_KEYGEN, CURL, MMDEBSTRAP, C_COMPILER])
}
