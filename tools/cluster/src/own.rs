//! Our own cluster: its state, its start and its removal.
//!
//! A start begins from nothing: the remains of an earlier attempt are removed first, so that there
//! is one way only.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, ensure};
use chores::{packages, paths, progress};

use crate::cgroups::{self, Hierarchies};
use crate::layout::{self, NODES_MAX, Node};
use crate::namespaces::Namespace;
use crate::process::Process;
use crate::programs::Programs;
use crate::{images, kubectl, node, start};

const NODES_DEFAULT: u8 = 2;
/// Longest wait for the lock: another chore may be building everything.
const LOCK_MAX: Duration = Duration::from_secs(60 * 60);

/// Starts the cluster unless it runs, with `count` nodes if that is given.
pub fn up(count: Option<u8>) -> anyhow::Result<()> {
    let wanted = count.unwrap_or(NODES_DEFAULT);
    ensure!((1..=NODES_MAX).contains(&wanted), "--nodes {wanted}: from 1 to {NODES_MAX} are possible");
    require_root()?;
    install()?;
    let _lock = lock()?;
    let programs = Programs::ensure()?;
    let images = images::ensure(&programs)?;
    if let Some(nodes) = running(&programs) {
        let as_wanted = count.is_none_or(|count| usize::from(count) == nodes.len());
        ensure!(as_wanted, "the cluster runs with {} nodes: first `cargo xtask cluster down`", nodes.len());
        println!("The cluster runs already, with {} nodes.", nodes.len());
        return Ok(());
    }
    ensure!(
        layout::state().exists() || !some_run()?,
        "a cluster with its state in another folder runs on this machine: take it down from there, or with \
         `cargo xtask cluster down` from here"
    );
    remove()?;
    let begun = Instant::now();
    start::start(&programs, &images, &Node::first(wanted).collect::<Vec<_>>())?;
    std::fs::write(complete(), wanted.to_string())?;
    println!(
        "The cluster is up, after {}. Look around with `cargo xtask cluster kubectl get nodes`;",
        progress::seconds(begun.elapsed())
    );
    println!("run a program inside its network with `cargo xtask cluster exec -- PROGRAM`.");
    Ok(())
}

/// Removes the cluster; nothing of it is left.
pub fn down() -> anyhow::Result<()> {
    require_root()?;
    let _lock = lock()?;
    if !layout::state().exists() && !some_run()? {
        println!("No cluster runs.");
        return Ok(());
    }
    progress::step("Take the cluster down", remove)
}

/// Returns true if it was started and neither removed nor ended with the machine.
pub fn is_up() -> bool {
    nodes().is_ok() && some_run().unwrap_or_default()
}

/// Returns true if processes of a cluster run, whoever started it.
fn some_run() -> anyhow::Result<bool> {
    Ok(!Hierarchies::of_this_machine()?.processes(cgroups::ROOT).is_empty())
}

/// Processes end first: mounts, networks and addresses exist only in their namespaces.
fn remove() -> anyhow::Result<()> {
    Hierarchies::of_this_machine()?.clear(cgroups::ROOT)?;
    node::forget_mount_points();
    if layout::state().exists() {
        std::fs::remove_dir_all(layout::state())
            .with_context(|| format!("cannot remove {}", layout::state().display()))?;
    }
    Ok(())
}

/// The nodes of the cluster, once it is complete.
pub fn nodes() -> anyhow::Result<Vec<Node>> {
    let count = std::fs::read_to_string(complete()).context("no cluster runs: `cargo xtask cluster up`")?;
    let count = count.parse().with_context(|| format!("cannot read {}", complete().display()))?;
    Ok(Node::first(count).collect())
}

/// File with the number of nodes; written when everything runs.
fn complete() -> PathBuf {
    layout::state().join("nodes")
}

/// The nodes, if all started processes run and the API responds.
fn running(programs: &Programs) -> Option<Vec<Node>> {
    let nodes = nodes().ok()?;
    let ended = Process::all().into_iter().find(|process| !process.is_running());
    if let Some(process) = ended {
        println!("    {} has ended: all is started anew", process.name);
        return None;
    }
    let gateway = Namespace::gateway().ok()?;
    kubectl::api_is_ready(&mut kubectl::own(programs, &gateway)).then_some(nodes)
}

/// Imports an archive into all nodes at once.
pub fn load_image(nodes: &[Node], archive: &Path) -> anyhow::Result<()> {
    std::thread::scope(|scope| {
        let imports: Vec<_> =
            nodes.iter().map(|node| scope.spawn(|| images::import(*node, archive))).collect();
        let mut joined = imports.into_iter().map(|import| import.join());
        joined.try_for_each(|import| import.map_err(|_| anyhow!("an import panicked"))?)
    })
}

fn require_root() -> anyhow::Result<()> {
    ensure!(
        nix::unistd::geteuid().is_root(),
        "a cluster needs root, for namespaces and mounts: run it as root, or set KUBECONFIG to another one"
    );
    Ok(())
}

fn install() -> anyhow::Result<()> {
    use packages::{
        C_COMPILER, CONNTRACK, CONTAINERD, IPROUTE, IPSET, IPTABLES, NETWORK_PLUGINS, NFTABLES, RUNC,
        SLIRP4NETNS,
    };
    packages::ensure(&[
        CONTAINERD,
        RUNC,
        NETWORK_PLUGINS,
        IPROUTE,
        NFTABLES,
        IPTABLES,
        IPSET,
        CONNTRACK,
        SLIRP4NETNS,
        C_COMPILER,
    ])
}

/// Keeps other chores from building or starting the same; the file is in the cache, as the state is removed.
fn lock() -> anyhow::Result<File> {
    let folder = paths::cache().join("cluster");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let file = File::create(folder.join("lock")).context("cannot make the lock file")?;
    if file.try_lock().is_err() {
        println!("    another chore works on the cluster; waiting for it");
        let free = progress::wait_until(LOCK_MAX, || file.try_lock().is_ok());
        ensure!(free, "another chore has held {}/lock for an hour", folder.display());
    }
    Ok(file)
}
