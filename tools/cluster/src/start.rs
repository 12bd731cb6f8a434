//! Start of a cluster from nothing, in the order of dependencies.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use chores::progress;

use crate::cgroups::{self, Hierarchies};
use crate::layout::{self, Node};
use crate::namespaces::Namespace;
use crate::process::Process;
use crate::programs::Programs;
use crate::{addons, control_plane, kubectl, network, node, own, pki};

const NODES_READY_MAX: Duration = Duration::from_secs(60);

/// Namespaces of the gateway and of each node.
struct World {
    gateway: Namespace,
    nodes: Vec<(Node, Namespace)>,
}

/// Starts everything and waits for it.
pub fn start(programs: &Programs, images: &[PathBuf], nodes: &[Node]) -> anyhow::Result<()> {
    let world = progress::step("Make certificates, networks and folders", || make_world(nodes))?;
    let plane = &world.nodes[0].1;
    progress::step("Start etcd", || control_plane::start_etcd(programs, plane, &plane_group()))?;
    progress::step("Start the API server and containerd, load images", || {
        control_plane::start_api(programs, plane, &plane_group())?;
        for (node, inside) in &world.nodes {
            node::start_containerd(*node, inside, &system_group(*node))?;
        }
        images.iter().try_for_each(|archive| own::load_image(nodes, archive))?;
        control_plane::wait_for_api(programs, &world.gateway)
    })?;
    progress::step(&format!("Start controllers and {} nodes", nodes.len()), || {
        control_plane::start_controllers(programs, plane, &plane_group())?;
        for (node, inside) in &world.nodes {
            node::start_kubernetes(*node, programs, inside, &system_group(*node))?;
        }
        addons::apply(programs, &world.gateway)?;
        wait_for_nodes(programs, &world.gateway, nodes.len())?;
        let firewall = |(node, inside): &(Node, Namespace)| {
            node::start_firewall(*node, programs, inside, &system_group(*node))
        };
        world.nodes.iter().try_for_each(firewall)
    })?;
    progress::step("Wait for cluster DNS and metrics-server", || addons::wait(programs, &world.gateway))
        .and_then(|()| Process::ensure_all_run())
}

fn plane_group() -> String {
    format!("{}/control-plane", cgroups::ROOT)
}

/// Control group of a node's own processes; its pods' groups are beside it.
fn system_group(node: Node) -> String {
    format!("{}/{}/system", cgroups::ROOT, node.name())
}

fn make_world(nodes: &[Node]) -> anyhow::Result<World> {
    for folder in ["pki", "kubeconfigs", "run", "logs"].map(|name| layout::state().join(name)) {
        // Closed to other users: it holds keys.
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        made.with_context(|| format!("cannot make {}", folder.display()))?;
    }
    pki::make(nodes)?;
    let hierarchies = Hierarchies::of_this_machine()?;
    hierarchies.make(&plane_group())?;
    let gateway = Namespace::make_gateway(&plane_group())?;
    let make_node = |node: &Node| {
        hierarchies.make(&system_group(*node))?;
        let inside = Namespace::make_node(*node, &system_group(*node))?;
        node::mount_folders(*node, &inside)?;
        anyhow::Ok((*node, inside))
    };
    let nodes = nodes.iter().map(make_node).collect::<anyhow::Result<Vec<_>>>()?;
    network::connect(&gateway, &nodes, &plane_group())?;
    Ok(World { gateway, nodes })
}

fn wait_for_nodes(programs: &Programs, gateway: &Namespace, count: usize) -> anyhow::Result<()> {
    let all_ready = || {
        let nodes = kubectl::nodes(&mut kubectl::own(programs, gateway));
        nodes.is_ok_and(|nodes| nodes.iter().filter(|node| node.ready).count() == count)
    };
    let in_time = progress::wait_until(NODES_READY_MAX, all_ready);
    Process::ensure_all_run()?;
    ensure!(
        in_time,
        "the nodes are not ready after {} s: see {} and `cargo xtask cluster kubectl describe nodes`",
        NODES_READY_MAX.as_secs(),
        layout::log("kubelet-1").display()
    );
    Ok(())
}
