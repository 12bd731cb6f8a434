//! A platform on the cluster, installed as scenarios install theirs, from images of release programs.
//!
//! A bench runs twice: outside of the cluster it prepares, inside its network it measures.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::{Pods, processes};
use crate::binaries::Profile;
use crate::e2e::{Setting, Stage};
use crate::platform::{Platform, make_private_folder};
use crate::progress;

/// Separate from that of scenarios.
const SETTING: Setting =
    Setting { profile: Profile::Release, tag: "bench", registry_port: 5_001, postgres_port: 5_433 };
const OTHER_IMAGE: &str = "WORKFLOW_BENCH_OTHER_IMAGE";
/// Stands for CNCF Distribution, which runs beside the role `registry`.
pub const DISTRIBUTION: &str = "Distribution";
const DISTRIBUTION_PROGRAM: &str = "registry";
/// Port of the router's Service.
const HTTP_PORT: u16 = 80;

/// Returns true in the run inside the cluster's network.
pub fn is_inside() -> bool {
    std::env::var_os("WORKFLOW_E2E_CLUSTER").is_some()
}

/// Prepares the cluster, with a second image if `needs_images`, and runs this command again inside.
pub fn again_inside(needs_images: bool) -> anyhow::Result<()> {
    let stage = Stage::set(&SETTING)?;
    let mut command = stage.this_program()?;
    if needs_images {
        command.env(OTHER_IMAGE, stage.push_other_image()?);
    }
    progress::run(&mut command)
}

/// An installation of the chart; removed when dropped.
pub struct Installation {
    platform: e2e::Platform,
    router: IpAddr,
}

/// A running container.
pub struct Container {
    pub pod: String,
    /// Name in the pod's manifest.
    pub name: String,
    id: String,
}

impl Installation {
    pub fn new(values: &[&str]) -> anyhow::Result<Self> {
        // The default of the chart for the end of apps, which scenarios shorten.
        let values = [&["apps.preStopSleepSeconds=5"], values].concat();
        let platform = progress::step("Install the chart", || Ok(e2e::Platform::install(&values)))?;
        let address =
            platform.kubectl(&["get", "service", "deis-router", "-o", "jsonpath={.spec.clusterIP}"]);
        let router = address.trim().parse().with_context(|| format!("the router's address: {address}"))?;
        Ok(Self { platform, router })
    }

    /// The user's files and ports that lead to the platform, and the path of `deis`.
    pub fn as_users_see_it(&self) -> anyhow::Result<(Platform, PathBuf)> {
        let platform = Platform::named("bench-cluster", self.platform.http_port, self.platform.ssh_port);
        platform.wipe()?;
        make_private_folder(&platform.path(""))?;
        let deis = std::env::var_os("DEIS_BIN").context("DEIS_BIN is not set")?;
        Ok((platform, deis.into()))
    }

    pub fn front_door(&self) -> SocketAddr {
        SocketAddr::new(self.router, HTTP_PORT)
    }

    /// Two images that run alike and differ in their digests.
    pub fn images(&self) -> anyhow::Result<[String; 2]> {
        Ok([self.platform.stack_image(), std::env::var(OTHER_IMAGE).context(OTHER_IMAGE)?])
    }

    pub fn namespace_of(&self, app: &str) -> String {
        self.platform.namespace_of(app)
    }

    /// Number of the app's pods, terminating ones included.
    pub fn replicas(&self, app: &str) -> usize {
        self.platform.containers(app).len()
    }

    /// Follows the pods of an app and of its builds.
    pub fn follow_pods(&self, app: &str) -> anyhow::Result<Pods> {
        Pods::follow(app)
    }

    /// Containers of the pods with these labels, without terminating ones.
    pub fn containers(&self, namespace: &str, selector: &str) -> anyhow::Result<Vec<Container>> {
        let pods = self.json(namespace, &["get", "pods", "--selector", selector])?;
        let staying = items(&pods).filter(|pod| pod["metadata"]["deletionTimestamp"].is_null());
        Ok(staying.flat_map(containers).collect())
    }

    /// Deletes a pod of the app, with its whole grace period.
    pub fn delete_pod(&self, app: &str) -> anyhow::Result<()> {
        let pod = self.container_of(app)?.pod;
        self.kubectl(&self.namespace_of(app), &["delete", "pod", &pod, "--wait=false"]).map(drop)
    }

    /// Processes of one of the app's pods.
    pub fn processes_of_a_pod(&self, app: &str) -> anyhow::Result<Vec<u32>> {
        processes::of_container(&self.container_of(app)?.id)
    }

    /// Kills processes of a pod with SIGKILL.
    pub fn kill(&self, processes: &[u32]) -> anyhow::Result<()> {
        processes::kill(processes)
    }

    fn container_of(&self, app: &str) -> anyhow::Result<Container> {
        let containers = self.containers(&self.namespace_of(app), &format!("app={app},heritage=deis"))?;
        containers.into_iter().next().with_context(|| format!("{app} has no pod"))
    }

    /// The platform's processes by role. Of a role with a pod on each node it is those of one pod.
    pub fn processes(&self) -> anyhow::Result<Vec<(String, Vec<u32>)>> {
        let mut roles = BTreeMap::new();
        for container in self.containers(self.platform.namespace(), "app.kubernetes.io/name=workflow")? {
            let all = processes::of_container(&container.id)?;
            let (distribution, own): (Vec<_>, Vec<_>) =
                all.into_iter().partition(|process| processes::program(*process) == DISTRIBUTION_PROGRAM);
            roles.insert(container.name, own);
            if !distribution.is_empty() {
                roles.insert(DISTRIBUTION.to_owned(), distribution);
            }
        }
        ensure!(!roles.is_empty(), "the platform has no pods");
        Ok(roles.into_iter().collect())
    }

    /// JSON output of kubectl.
    pub fn json(&self, namespace: &str, arguments: &[&str]) -> anyhow::Result<Value> {
        let text = self.kubectl(namespace, &[arguments, &["--output=json"]].concat())?;
        serde_json::from_str(&text).context("kubectl tells no JSON")
    }

    pub fn kubectl(&self, namespace: &str, arguments: &[&str]) -> anyhow::Result<String> {
        progress::output(Command::new("kubectl").args(["--namespace", namespace]).args(arguments))
    }
}

pub fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list["items"].as_array().into_iter().flatten()
}

fn containers(pod: &Value) -> Vec<Container> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let statuses = pod["status"]["containerStatuses"].as_array().into_iter().flatten();
    let running = statuses.filter(|status| !status["state"]["running"].is_null());
    let container = |status: &Value| {
        // `containerd://<id>`
        let id = text(&status["containerID"]).rsplit('/').next().unwrap_or_default().to_owned();
        Container { pod: text(&pod["metadata"]["name"]), name: text(&status["name"]), id }
    };
    running.map(container).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_containers_that_run_are_told_and_their_ids_are_without_the_runtimes_name() {
        let pod = json!({
            "metadata": { "name": "web-1" },
            "status": { "containerStatuses": [
                { "name": "web", "containerID": "containerd://abc", "state": { "running": {} } },
                { "name": "ended", "containerID": "containerd://def", "state": { "terminated": {} } },
            ] },
        });

        let told = containers(&pod);

        assert_eq!(told.len(), 1);
        assert_eq!(
            (told[0].pod.as_str(), told[0].name.as_str(), told[0].id.as_str()),
            ("web-1", "web", "abc")
        );
    }
}
