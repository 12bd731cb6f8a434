//! A platform of its own on the machine's Docker, for one test; nothing of it is left behind.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::build::ProcessResult;
use domain::deployment::Workload;
use domain::outbound::OutboundPolicy;
use domain::sealing::SealingKey;
use domain::{Digest, Image};
use engine::conformance::{AnyEngine, Subject};
use engine_docker::firewall::{self, Firewall};
use engine_docker::{DockerEngine, DockerSettings, Reach};

use crate::image;

const PIDS_MAX: u32 = 40;

pub struct World {
    pub settings: DockerSettings,
    pub reference: String,
    digest: Digest,
    engine: Mutex<Option<DockerEngine>>,
    reach: Option<Reach>,
    state: tempfile::TempDir,
}

impl World {
    pub async fn new() -> Self {
        Self::with(None).await
    }

    /// With containers reached in this way.
    pub async fn with(reach: Option<Reach>) -> Self {
        Self::set(reach, |_| {}).await
    }

    /// With settings of its own.
    pub async fn set(reach: Option<Reach>, change: impl FnOnce(&mut DockerSettings)) -> Self {
        let state = tempfile::tempdir().expect("a temporary folder");
        let instance = format!("conf{:08x}", rand::random::<u32>());
        let reference = format!("deis-conformance-{instance}:latest");
        let mut settings = settings(&instance, state.path());
        change(&mut settings);
        let digest = import(&reference, &[]);
        let world = Self { settings, reference, digest, engine: Mutex::new(None), reach, state };
        world.start().await;
        world
    }

    pub fn state(&self) -> &Path {
        self.state.path()
    }

    /// The process ends, and with it the engine's tasks.
    pub fn stop(&self) {
        self.engine.lock().expect("nobody panics with it").take();
    }

    pub async fn start(&self) {
        let engine = DockerEngine::start_with(self.settings.clone(), self.reach).await;
        let engine = engine.expect("Docker answers");
        self.engine.lock().expect("nobody panics with it").replace(engine);
    }

    pub fn docker_engine(&self) -> DockerEngine {
        self.engine.lock().expect("nobody panics with it").clone().expect("it was started")
    }

    /// Ids of the containers, running or not.
    pub fn containers(&self) -> Vec<String> {
        let mut ids = docker(&["ps", "--all", "--quiet", "--no-trunc", "--filter", &self.label()]);
        ids.sort();
        ids
    }

    /// Waits until the containers are as they should be.
    pub async fn containers_become(&self, is_right: impl Fn(&[String]) -> bool) {
        // Longer than the engine's pass over what nobody told it of.
        let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
        while tokio::time::Instant::now() < deadline {
            if is_right(&self.containers()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the containers did not come right: {:?}", self.containers());
    }

    /// Waits until the networks are as they should be.
    pub async fn networks_become(&self, is_right: impl Fn(&[String]) -> bool) {
        for _ in 0..400 {
            if is_right(&self.networks()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the networks did not come right: {:?}", self.networks());
    }

    pub fn networks(&self) -> Vec<String> {
        docker(&["network", "ls", "--quiet", "--filter", &self.label()])
    }

    pub fn images(&self) -> Vec<String> {
        let reference = format!("reference=deis-{}/*", self.settings.instance);
        docker(&["images", "--format", "{{.Repository}}:{{.Tag}}", "--filter", &reference])
    }

    pub fn volumes(&self) -> Vec<String> {
        docker(&["volume", "ls", "--quiet", "--filter", &format!("name=deis-{}-", self.settings.instance)])
    }

    fn label(&self) -> String {
        format!("label=io.deis.instance={}", self.settings.instance)
    }
}

impl Subject for World {
    fn engine(&self) -> Arc<dyn AnyEngine> {
        let engine = self.engine.lock().expect("nobody panics with it").clone();
        Arc::new(engine.expect("it was started"))
    }

    fn image(&self) -> Image {
        Image::External { reference: self.reference.clone(), digest: self.digest.clone() }
    }

    fn crashes(&self, workload: &mut Workload, times: u64) {
        workload.env.insert("CRASHES".to_owned(), times.to_string());
    }

    fn stalls(&self, workload: &mut Workload) {
        workload.env.insert("MODE".to_owned(), "silent".to_owned());
    }

    fn resumes(&self) {}

    fn pids_max(&self) -> usize {
        PIDS_MAX as usize
    }

    fn will_finish(&self, _: &ProcessResult) {}
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop();
        if self.settings.firewall.is_some() {
            _ = Firewall::remove(&firewall::name(&self.settings.instance));
        }
        for id in self.containers() {
            docker(&["rm", "--force", "--volumes", &id]);
        }
        self.images().iter().for_each(|image| drop(docker(&["rmi", "--force", image])));
        docker(&["rmi", "--force", &self.reference]);
        self.networks().iter().for_each(|id| drop(docker(&["network", "rm", id])));
        self.volumes().iter().for_each(|name| drop(docker(&["volume", "rm", name])));
    }
}

/// Lines that a `docker` command prints; one that fails prints none.
pub fn docker(arguments: &[&str]) -> Vec<String> {
    let output = Command::new("docker").args(arguments).output().expect("docker can be run");
    let lines = String::from_utf8_lossy(&output.stdout);
    lines.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// Makes an image of one file, without a registry; gives back its id.
pub fn import(reference: &str, changes: &[&str]) -> Digest {
    let archive = image::layer();
    let changes = ["ENTRYPOINT [\"/app\"]"].iter().chain(changes).flat_map(|change| ["--change", change]);
    let mut import = Command::new("docker")
        .arg("import")
        .args(changes)
        .args(["-", reference])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("docker can be run");
    import.stdin.take().expect("piped").write_all(&archive).expect("docker reads it");
    let output = import.wait_with_output().expect("docker ends");
    let id = String::from_utf8(output.stdout).expect("text");
    Digest::parse(id.trim()).expect("the id of an image")
}

fn settings(instance: &str, state: &Path) -> DockerSettings {
    DockerSettings {
        instance: instance.to_owned(),
        socket: None,
        state_dir: state.to_owned(),
        sealing_keys: SealingKey::new(&[1; 32]).into(),
        platform_domain: "localhost".to_owned(),
        platform_routes: vec![("deis".to_owned(), ([127, 0, 0, 1], 9).into())],
        router_rules: domain::edge::RouterRules::default(),
        app_rules: std::collections::BTreeMap::new(),
        network_range: format!("10.{}.0.0/16", 100 + rand::random::<u8>() % 100),
        node_labels: BTreeMap::from([("disk".to_owned(), "ssd".to_owned())]),
        stack_image: "deis/stack:latest".to_owned(),
        build_ca_bundle: None,
        build_env: BTreeMap::new(),
        build_memory_bytes: 1 << 30,
        build_pids_max: 512,
        build_disk_bytes: 8 << 30,
        builder_image: "deis/builder:latest".to_owned(),
        base_images: vec!["deis/stack:latest".to_owned()],
        build_frontends: false,
        build_caches: domain::build_caches::BuildCaches {
            app_bytes_max: 4 << 30,
            all_bytes_max: 8 << 30,
            count_max: 100,
        },
        replica_disk_bytes: None,
        replica_disk_every: Duration::from_millis(200),
        slug_bytes_max: 100 << 20,
        pids_max: PIDS_MAX,
        insecure_hosts: Vec::new(),
        outbound: OutboundPolicy::new(["127.0.0.0/8".parse().expect("a range")]),
        firewall: None,
    }
}
