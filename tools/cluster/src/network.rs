//! The network: a bridge in the gateway's namespace joins the nodes, and `slirp4netns` connects them to the outside.
//!
//! Nothing of the machine's interfaces, routes or firewall is changed. Pods reach what the machine reaches,
//! but not what listens on its loopback.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use chores::progress;

use crate::layout::{self, DATABASE_ADDRESS, GATEWAY_ADDRESS, Node, SERVICES};
use crate::namespaces::Namespace;
use crate::process::Process;

const WAY_OUT: &str = "slirp4netns";
const WAY_OUT_MAX: Duration = Duration::from_secs(10);
/// Applies the rules of kube-proxy to packets on a bridge.
const BRIDGE_RULES: &str = "bridge/bridge-nf-call-iptables";

/// Joins the nodes and connects them to the outside.
pub fn connect(gateway: &Namespace, nodes: &[(Node, Namespace)], group: &str) -> anyhow::Result<()> {
    let holders: Vec<_> = nodes.iter().map(|(node, inside)| (*node, inside.holder.id)).collect();
    feed(gateway.command("ip").args(["-batch", "-"]), &gateway_links(&holders))?;
    gateway.set("ipv4/ip_forward", "1")?;
    let all: Vec<_> = nodes.iter().map(|(node, _)| *node).collect();
    for (node, inside) in nodes {
        feed(inside.command("ip").args(["-batch", "-"]), &node_links(*node, &all))?;
        inside.set("ipv4/ip_forward", "1")?;
        let rules = inside.set(BRIDGE_RULES, "1");
        rules.context("the kernel module `br_netfilter` is missing: load it with `modprobe br_netfilter`")?;
    }
    open_way_out(gateway, group)
}

fn open_way_out(gateway: &Namespace, group: &str) -> anyhow::Result<()> {
    let mut command = Command::new(WAY_OUT);
    command.args(["--configure", "--mtu=65520", "--disable-host-loopback", "--netns-type=path"]);
    command.arg("--api-socket").arg(layout::run().join("slirp4netns.sock"));
    command.arg(gateway.network()).arg("tap0");
    let routes = format!("/proc/{}/net/route", gateway.holder.id);
    let is_open = || std::fs::read_to_string(&routes).is_ok_and(|routes| has_default_route(&routes));
    Process::start(WAY_OUT, group, &command)?.wait_until(WAY_OUT_MAX, is_open)?;
    let masquerade = "table ip workflow { chain out { type nat hook postrouting priority srcnat; \
        oifname \"tap0\" masquerade; }; }\n";
    feed(gateway.command("nft").args(["-f", "-"]), masquerade)
}

/// Interfaces and routes of the gateway, as `ip -batch` reads them.
fn gateway_links(nodes: &[(Node, u32)]) -> String {
    let mut lines = vec![
        "link set lo up".to_owned(),
        "link add nodes type bridge".to_owned(),
        format!("addr add {GATEWAY_ADDRESS}/24 dev nodes"),
        format!("addr add {DATABASE_ADDRESS}/24 dev nodes"),
        "link set nodes up".to_owned(),
    ];
    for (node, holder) in nodes {
        let (name, address, pods) = (node.name(), node.address(), node.pods());
        lines.push(format!("link add {name} type veth peer name eth0 netns {holder}"));
        lines.push(format!("link set {name} master nodes up"));
        lines.push(format!("route add {pods} via {address}"));
    }
    // Any node's kube-proxy can serve it.
    lines.push(format!("route add {SERVICES} via {}", Node(1).address()));
    lines.join("\n") + "\n"
}

/// Interfaces and routes of a node.
fn node_links(node: Node, all: &[Node]) -> String {
    let mut lines = vec![
        "link set lo up".to_owned(),
        format!("addr add {}/24 dev eth0", node.address()),
        "link set eth0 up".to_owned(),
        format!("route add default via {GATEWAY_ADDRESS}"),
    ];
    let others = all.iter().filter(|other| **other != node);
    lines.extend(others.map(|other| format!("route add {} via {}", other.pods(), other.address())));
    lines.join("\n") + "\n"
}

/// Reads `/proc/net/route`: the destination is the second column.
fn has_default_route(routes: &str) -> bool {
    routes.lines().any(|line| line.split_whitespace().nth(1) == Some("00000000"))
}

/// Runs a command with this text as its input.
fn feed(command: &mut Command, text: &str) -> anyhow::Result<()> {
    let line = progress::shown(command);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run `{line}`"))?;
    let mut input = child.stdin.take().context("the input was piped")?;
    input.write_all(text.as_bytes()).with_context(|| format!("`{line}` does not read"))?;
    drop(input);
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`{line}` failed ({}): {}", output.status, said.trim());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_node_has_routes_to_the_pods_of_the_others() {
        let all: Vec<_> = Node::first(3).collect();

        let lines = node_links(Node(2), &all);

        assert!(lines.contains("addr add 10.240.0.12/24 dev eth0\n"));
        assert!(lines.contains("route add 10.244.1.0/24 via 10.240.0.11\n"));
        assert!(lines.contains("route add 10.244.3.0/24 via 10.240.0.13\n"));
        assert!(!lines.contains("10.244.2.0/24"));
    }

    #[test]
    fn the_gateway_reaches_pods_and_services() {
        let lines = gateway_links(&[(Node(1), 100), (Node(2), 200)]);

        assert!(lines.contains("link add node-2 type veth peer name eth0 netns 200\n"));
        assert!(lines.contains("route add 10.244.2.0/24 via 10.240.0.12\n"));
        assert!(lines.ends_with("route add 10.96.0.0/16 via 10.240.0.11\n"));
    }

    #[test]
    fn the_way_out_is_open_once_there_is_a_default_route() {
        let header = "Iface\tDestination\tGateway\n";

        assert!(!has_default_route(&format!("{header}nodes\t0000F00A\t00000000\n")));
        assert!(has_default_route(&format!("{header}tap0\t00000000\t0202000A\n")));
    }
}
