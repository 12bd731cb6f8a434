//! What runs inside every cluster: CoreDNS, and metrics-server for `kubectl top` and autoscaling.

use crate::{paths, progress};

use super::kubectl;
use super::namespaces::Namespace;
use super::process::Process;
use super::programs::Programs;

const ADDONS: &[&str] = &["coredns", "metrics-server"];

/// Tells the API server about them.
pub fn apply(programs: &Programs, gateway: &Namespace) -> anyhow::Result<()> {
    let mut kubectl = kubectl::own(programs, gateway);
    kubectl.args(["apply", kubectl::CALL_MAX]);
    let folder = paths::checkout().join("xtask/cluster/addons");
    for addon in ADDONS {
        kubectl.arg("--filename").arg(folder.join(format!("{addon}.yaml")));
    }
    progress::output(&mut kubectl).map(drop)
}

/// Waits until they run.
pub fn wait(programs: &Programs, gateway: &Namespace) -> anyhow::Result<()> {
    for addon in ADDONS {
        let mut kubectl = kubectl::own(programs, gateway);
        kubectl.args(["rollout", "status", "--namespace=kube-system", "--timeout=60s"]);
        let waited = progress::output(kubectl.arg(format!("deployment/{addon}")));
        // One of the cluster's own parts that has ended is the better reason.
        waited.or_else(|error| Process::ensure_all_run().and(Err(error)))?;
    }
    Ok(())
}
