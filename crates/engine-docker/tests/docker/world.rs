//! A platform of its own on the machine's Docker, for one test; nothing of it is left behind.

use std::path::Path;
use std::sync::{Arc, Mutex};

use domain::build::ProcessResult;
use domain::deployment::Workload;
use domain::{Digest, Image};
use engine::LogSource;
use engine::conformance::{AnyEngine, RealSubject, Subject};
use engine::log_queue::LogQueue;
use engine_docker::firewall::{self, Firewall};
use engine_docker::{DockerEngine, DockerSettings, Reach};
use testkit::docker::docker;

use crate::image;
use crate::machine::{Instance, list_becomes};

const PIDS_MAX: u32 = 40;

pub struct World {
    pub settings: DockerSettings,
    pub reference: String,
    pub instance: Instance,
    digest: Digest,
    engine: Mutex<Option<DockerEngine>>,
    pub log_sink: Arc<LogQueue>,
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
        let instance = Instance::new();
        let reference = format!("deis-conformance-{}:latest", instance.0);
        let mut settings = instance.settings(state.path());
        settings.platform_routes = vec![("deis".to_owned(), ([127, 0, 0, 1], 9).into())];
        settings.pids_max = PIDS_MAX;
        change(&mut settings);
        let digest = import(&reference, &[]);
        let engine = Mutex::new(None);
        let log_sink = Arc::default();
        let world = Self { settings, reference, instance, digest, engine, log_sink, reach, state };
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
        let engine = DockerEngine::start_with(self.settings.clone(), self.log_sink.clone(), self.reach).await;
        let engine = engine.expect("Docker answers");
        self.engine.lock().expect("nobody panics with it").replace(engine);
    }

    pub fn docker_engine(&self) -> DockerEngine {
        self.engine.lock().expect("nobody panics with it").clone().expect("it was started")
    }

    pub fn containers(&self) -> Vec<String> {
        self.instance.containers()
    }

    pub fn networks(&self) -> Vec<String> {
        self.instance.networks()
    }

    /// Waits until the containers are as they should be.
    pub async fn containers_become(&self, is_right: impl Fn(&[String]) -> bool) {
        list_becomes(|| self.containers(), is_right).await;
    }
}

impl Subject for World {
    fn engine(&self) -> Arc<dyn AnyEngine> {
        Arc::new(self.docker_engine())
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

impl RealSubject for World {
    fn log_source(&self) -> Arc<dyn LogSource> {
        Arc::new(self.docker_engine())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop();
        if self.settings.firewall.is_some() {
            _ = Firewall::remove(&firewall::name(&self.settings.instance));
        }
        self.instance.remove();
        docker(&["rmi", "--force", &self.reference]);
    }
}

/// Makes an image of the suite's program, without a registry; gives back its id.
pub fn import(reference: &str, changes: &[&str]) -> Digest {
    let changes = [&["ENTRYPOINT [\"/app\"]"], changes].concat();
    let id = testkit::docker::import(reference, &image::layer(), &changes);
    Digest::parse(&id).expect("the id of an image")
}
