//! One platform on the machine's Docker daemon: its name, its settings and its objects there.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use domain::build_caches::BuildCaches;
use domain::outbound::OutboundPolicy;
use domain::sealing::SealingKey;
use engine_docker::DockerSettings;
use testkit::docker::docker;
use testkit::{WAIT_MAX, wait_until};

pub const STACK_IMAGE: &str = "deis/stack:latest";

/// A name that no other platform on the daemon has.
pub struct Instance(pub String);

impl Instance {
    pub fn new() -> Self {
        Self(format!("test{:08x}", rand::random::<u32>()))
    }

    /// Ids of the containers, running or not.
    pub fn containers(&self) -> Vec<String> {
        let mut ids = docker(&["ps", "--all", "--quiet", "--no-trunc", "--filter", &self.label()]);
        ids.sort();
        ids
    }

    pub fn networks(&self) -> Vec<String> {
        docker(&["network", "ls", "--quiet", "--filter", &self.label()])
    }

    pub fn images(&self) -> Vec<String> {
        let reference = format!("reference={}/*", self.prefix());
        docker(&["images", "--format", "{{.Repository}}:{{.Tag}}", "--filter", &reference])
    }

    /// Volumes whose names go on so, `-` included.
    pub fn volumes(&self, rest: &str) -> Vec<String> {
        docker(&["volume", "ls", "--quiet", "--filter", &format!("name=^{}{rest}", self.prefix())])
    }

    /// Removes all that the platform has; its engine has ended.
    pub fn remove(&self) {
        self.containers().iter().for_each(|id| drop(docker(&["rm", "--force", "--volumes", id])));
        self.images().iter().for_each(|image| drop(docker(&["rmi", "--force", image])));
        self.networks().iter().for_each(|id| drop(docker(&["network", "rm", id])));
        self.volumes("-").iter().for_each(|name| drop(docker(&["volume", "rm", name])));
    }

    pub fn settings(&self, state_dir: &Path) -> DockerSettings {
        DockerSettings {
            instance: self.0.clone(),
            socket: None,
            state_dir: state_dir.to_owned(),
            sealing_keys: SealingKey::new(&[1; 32]).into(),
            platform_domain: "localhost".to_owned(),
            platform_routes: Vec::new(),
            router_rules: domain::edge::RouterRules::default(),
            app_rules: BTreeMap::new(),
            network_range: format!("10.{}.0.0/16", 100 + rand::random::<u8>() % 100),
            node_labels: BTreeMap::from([("disk".to_owned(), "ssd".to_owned())]),
            stacks: domain::stacks::Stacks::default(),
            build_ca_bundle: None,
            build_env: BTreeMap::new(),
            build_memory_bytes: 1 << 30,
            build_pids_max: 512,
            build_disk_bytes: 8 << 30,
            builder_image: "deis/builder:latest".to_owned(),
            base_images: vec![STACK_IMAGE.to_owned()],
            build_frontends: false,
            build_caches: BuildCaches { app_bytes_max: 4 << 30, all_bytes_max: 8 << 30, count_max: 100 },
            replica_disk_bytes: None,
            replica_disk_every: Duration::from_millis(200),
            slug_bytes_max: 100 << 20,
            pids_max: 256,
            insecure_hosts: Vec::new(),
            outbound: OutboundPolicy::new(["127.0.0.0/8".parse().expect("a range")]),
            firewall: None,
        }
    }

    fn label(&self) -> String {
        format!("label=io.deis.instance={}", self.0)
    }

    /// Namespace of the images; also the beginning of the names of networks and volumes.
    pub fn prefix(&self) -> String {
        format!("deis-{}", self.0)
    }
}

/// Waits until a list of Docker is as it should be.
pub async fn list_becomes(list: impl Fn() -> Vec<String>, is_right: impl Fn(&[String]) -> bool) {
    // Longer than the engine's pass over what nobody told it of.
    wait_until("the list of Docker is right", WAIT_MAX, async || match list() {
        listed if is_right(&listed) => Ok(()),
        listed => Err(listed),
    })
    .await;
}
