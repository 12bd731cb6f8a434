//! Output of `cargo xtask cluster status`: nodes, and the processes of our own cluster.

use std::path::PathBuf;

use serde::Serialize;

use crate::kubectl::NodeState;
use crate::layout;
use crate::process::Process;

/// All of it, as `-o json` prints it.
#[derive(Debug, Serialize)]
pub struct Status {
    /// The kubeconfig of the cluster; that of our own works only inside its network.
    pub kubeconfig: PathBuf,
    /// True for our own cluster, which `down` removes.
    pub own: bool,
    pub nodes: Vec<NodeState>,
    /// Empty for a given cluster.
    pub components: Vec<Component>,
}

/// One process of our own cluster.
#[derive(Debug, Serialize)]
pub struct Component {
    pub name: String,
    pub process: u32,
    pub running: bool,
    pub log: PathBuf,
}

/// The processes of our own cluster.
pub fn components() -> Vec<Component> {
    let component = |process: Process| Component {
        running: process.is_running(),
        log: layout::log(&process.name),
        process: process.id,
        name: process.name,
    };
    Process::all().into_iter().map(component).collect()
}

impl Status {
    /// Text for a terminal.
    pub fn text(&self) -> String {
        let mut lines = vec![format!("KUBECONFIG={}", self.kubeconfig.display())];
        for NodeState { name, ready, version, address } in &self.nodes {
            let ready = if *ready { "ready" } else { "NOT READY" };
            lines.push(format!("{name:24} {ready:10} {version:12} {address}"));
        }
        for Component { name, process, running, log } in &self.components {
            let running = if *running { "running" } else { "ENDED" };
            lines.push(format!("{name:24} {running:10} {process:<12} {}", log.display()));
        }
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_work_stands_out() {
        let node = |name: &str, ready: bool| NodeState {
            name: name.to_owned(),
            ready,
            version: "v1".to_owned(),
            address: "10.0.0.1".to_owned(),
        };
        let status = Status {
            kubeconfig: "/admin.json".into(),
            own: true,
            nodes: vec![node("node-1", true), node("node-2", false)],
            components: vec![Component {
                name: "etcd".into(),
                process: 7,
                running: false,
                log: "/etcd.log".into(),
            }],
        };

        let text = status.text();

        assert!(text.contains("node-1                   ready "), "{text}");
        assert!(text.contains("node-2                   NOT READY "), "{text}");
        assert!(text.ends_with("etcd                     ENDED      7            /etcd.log"), "{text}");
    }
}
