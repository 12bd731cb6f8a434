//! Addons of every cluster: CoreDNS, and metrics-server for `kubectl top` and autoscaling.

use std::time::Duration;

use anyhow::ensure;
use chores::{paths, progress};

use crate::kubectl;
use crate::namespaces::Namespace;
use crate::process::Process;
use crate::programs::Programs;

const ADDONS: &[&str] = &["coredns", "metrics-server"];
const READY_MAX: Duration = Duration::from_secs(60);

/// Applies the manifests of the addons.
pub fn apply(programs: &Programs, gateway: &Namespace) -> anyhow::Result<()> {
    let mut kubectl = kubectl::own(programs, gateway);
    kubectl.args(["apply", kubectl::CALL_MAX]);
    let folder = paths::checkout().join("tools/cluster/addons");
    for addon in ADDONS {
        kubectl.arg("--filename").arg(folder.join(format!("{addon}.yaml")));
    }
    progress::output(&mut kubectl).map(drop)
}

/// Waits until they run.
pub fn wait(programs: &Programs, gateway: &Namespace) -> anyhow::Result<()> {
    for addon in ADDONS {
        // Not `kubectl rollout status`, which would not see that one of our own parts has ended.
        let path = format!("/apis/apps/v1/namespaces/kube-system/deployments/{addon}");
        let is_ready = || {
            let deployment = kubectl::raw(&mut kubectl::own(programs, gateway), &path);
            deployment.is_ok_and(|deployment| deployment["status"]["readyReplicas"] == 1)
        };
        let in_time = progress::wait_until(READY_MAX, is_ready);
        Process::ensure_all_run()?;
        ensure!(
            in_time,
            "{addon} is not ready after {} s: see `kubectl describe` of it in the namespace kube-system",
            READY_MAX.as_secs()
        );
    }
    Ok(())
}
