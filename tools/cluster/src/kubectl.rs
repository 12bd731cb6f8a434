//! kubectl for other chores, and the nodes that it lists.

use std::process::Command;

use anyhow::Context as _;
use chores::progress;
use serde::Serialize;
use serde_json::Value;

use crate::layout;
use crate::namespaces::Namespace;
use crate::programs::Programs;

/// Longest that one call may take.
pub const CALL_MAX: &str = "--request-timeout=10s";

/// The built kubectl against our own cluster.
pub fn own(programs: &Programs, gateway: &Namespace) -> Command {
    let mut command = gateway.command(programs.path("kubectl"));
    command.env("KUBECONFIG", layout::admin_kubeconfig());
    command
}

/// Returns true if the API server reports that it is ready.
pub fn api_is_ready(kubectl: &mut Command) -> bool {
    progress::succeeds(kubectl.args(["get", "--raw", "/readyz", CALL_MAX]))
}

/// Response of the API for a path.
pub fn raw(kubectl: &mut Command, path: &str) -> anyhow::Result<Value> {
    let text = progress::output(kubectl.args(["get", "--raw", path, CALL_MAX]))?;
    serde_json::from_str(&text).with_context(|| format!("{path} is no JSON"))
}

/// A node as the API returns it.
#[derive(Debug, Serialize, PartialEq, Eq)]
pub struct NodeState {
    pub name: String,
    pub ready: bool,
    pub version: String,
    pub address: String,
}

/// Lists the nodes.
pub fn nodes(kubectl: &mut Command) -> anyhow::Result<Vec<NodeState>> {
    let list = raw(kubectl, "/api/v1/nodes")?;
    Ok(list["items"].as_array().into_iter().flatten().map(node_state).collect())
}

fn node_state(node: &Value) -> NodeState {
    let find = |list: &Value, kind: &str, field: &str| {
        let found = list.as_array().into_iter().flatten().find(|it| it["type"] == kind);
        found.and_then(|it| it[field].as_str()).unwrap_or_default().to_owned()
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let status = &node["status"];
    NodeState {
        name: text(&node["metadata"]["name"]),
        ready: find(&status["conditions"], "Ready", "status") == "True",
        version: text(&status["nodeInfo"]["kubeletVersion"]),
        address: find(&status["addresses"], "InternalIP", "address"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_node_is_ready_when_its_condition_says_so() {
        let node = |ready: &str| {
            node_state(&json!({
                "metadata": { "name": "node-1" },
                "status": {
                    "conditions": [{ "type": "DiskPressure", "status": "False" }, { "type": "Ready", "status": ready }],
                    "addresses": [{ "type": "InternalIP", "address": "10.240.0.11" }],
                    "nodeInfo": { "kubeletVersion": "v1.34.4" },
                },
            }))
        };

        let expected = NodeState {
            name: "node-1".to_owned(),
            ready: true,
            version: "v1.34.4".to_owned(),
            address: "10.240.0.11".to_owned(),
        };
        assert_eq!(node("True"), expected);
        assert!(!node("Unknown").ready);
    }
}
