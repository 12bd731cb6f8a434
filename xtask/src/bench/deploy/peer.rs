//! The peer: a Deployment with the manifest of an app, in a separate namespace, changed with kubectl.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use crate::bench::world::{Installation, World, items};
use crate::progress;

/// Begins with the release's name, as those of apps do, and is removed with them.
const NAMESPACE: &str = "kubectl-peer";
/// Replaces the platform's label, by which the platform would find these pods.
const LABEL: &str = "peer";
const SETTLE_MAX: Duration = Duration::from_secs(60);

pub struct Peer<'a> {
    installation: &'a Installation,
    namespace: String,
    deployment: String,
    container: String,
}

impl<'a> Peer<'a> {
    /// Copies the app's Deployment and the Secrets that it refers to; waits until it runs.
    pub fn like(world: &World, installation: &'a Installation, app: &str) -> anyhow::Result<Self> {
        let (from, namespace) = (installation.namespace_of(app), installation.namespace_of(NAMESPACE));
        let deployments = installation.json(&from, &["get", "deployments"])?;
        let deployment = items(&deployments).next().with_context(|| format!("{app} has no Deployment"))?;
        let secrets = installation.json(&from, &["get", "secrets"])?;
        let copies = items(&secrets).map(secret_like).chain([deployment_like(deployment)]);
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": copies.collect::<Vec<_>>() });
        let file = world.platform.path("peer.json");
        std::fs::write(&file, list.to_string())
            .with_context(|| format!("cannot write {}", file.display()))?;

        installation.kubectl(&namespace, &["create", "namespace", &namespace])?;
        installation.kubectl(&namespace, &["create", "--filename", &file.display().to_string()])?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let peer = Self {
            installation,
            namespace,
            deployment: format!("deployment/{}", text(&deployment["metadata"]["name"])),
            container: text(&deployment["spec"]["template"]["spec"]["containers"][0]["name"]),
        };
        peer.wait_for_rollout()?;
        Ok(peer)
    }

    /// Deploys with kubectl.
    pub fn deploy(&self, image: &str) -> anyhow::Result<()> {
        let change = format!("{}={image}", self.container);
        self.installation.kubectl(&self.namespace, &["set", "image", &self.deployment, &change])?;
        self.wait_for_rollout()
    }

    fn wait_for_rollout(&self) -> anyhow::Result<()> {
        let status = ["rollout", "status", &self.deployment, "--timeout=120s"];
        self.installation.kubectl(&self.namespace, &status).map(drop)
    }

    /// Waits until the previous pods are gone.
    pub fn wait_until_settled(&self) -> anyhow::Result<()> {
        let is_settled = || {
            let pods = self.installation.json(&self.namespace, &["get", "pods"]);
            pods.is_ok_and(|pods| items(&pods).count() == 1)
        };
        ensure!(progress::wait_until(SETTLE_MAX, is_settled), "old pods stay in {}", self.namespace);
        Ok(())
    }
}

fn secret_like(secret: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": { "name": secret["metadata"]["name"] },
        "type": secret["type"],
        "data": secret["data"],
    })
}

fn deployment_like(deployment: &Value) -> Value {
    let labels = json!({ "app": LABEL });
    let mut spec = deployment["spec"].clone();
    spec["selector"] = json!({ "matchLabels": labels });
    spec["template"]["metadata"] = json!({ "labels": labels });
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": deployment["metadata"]["name"] },
        "spec": spec,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_copy_has_the_same_pods_under_other_labels() {
        let pod = json!({ "containers": [{ "name": "web", "image": "a@sha256:1" }] });
        let deployment = json!({
            "metadata": { "name": "web", "uid": "1", "labels": { "heritage": "deis" } },
            "spec": {
                "replicas": 1,
                "selector": { "matchLabels": { "heritage": "deis" } },
                "template": { "metadata": { "labels": { "heritage": "deis" } }, "spec": pod },
            },
            "status": { "replicas": 1 },
        });

        let copy = deployment_like(&deployment);

        assert_eq!(copy["spec"]["template"]["spec"], pod);
        assert_eq!(copy["spec"]["replicas"], 1);
        assert!(!copy.to_string().contains("heritage") && !copy.to_string().contains("uid"), "{copy}");
        assert!(copy["status"].is_null());
    }
}
