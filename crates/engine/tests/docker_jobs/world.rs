//! A platform of its own on the machine's Docker daemon, for one test; nothing of it is left behind.

use std::collections::BTreeMap;
use std::process::Command;

use domain::AppName;
use domain::build::{BuildJob, BuildKind, BuiltImage};
use domain::sealing::SealingKey;
use engine::docker::{DockerEngine, DockerSettings};
use engine::{JobError, Jobs as _, Source};
use tokio::sync::mpsc;

pub const STACK_IMAGE: &str = "deis/stack:latest";

/// An engine and all that it makes.
pub struct World {
    pub engine: DockerEngine,
    pub instance: String,
    pub settings: DockerSettings,
    _state: tempfile::TempDir,
}

impl World {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut DockerSettings)) -> Self {
        let state = tempfile::tempdir().expect("a temporary folder");
        let instance = format!("test{:08x}", rand::random::<u32>());
        let mut settings = settings(&instance, state.path());
        change(&mut settings);
        let engine = DockerEngine::start(settings.clone()).await.expect("Docker answers");
        Self { engine, instance, settings, _state: state }
    }

    /// Name of the app's images and of their namespace.
    pub fn repository(&self, app: &str) -> String {
        format!("deis-{}/{app}", self.instance)
    }

    /// Runs a build to its end; gives back its outcome and its output.
    pub async fn build(
        &self,
        job: &BuildJob,
        files: &[(&str, &str)],
    ) -> (Result<BuiltImage, JobError>, String) {
        let (sender, mut receiver) = mpsc::channel::<bytes::Bytes>(64);
        let output = async {
            let mut output = Vec::new();
            while let Some(chunk) = receiver.recv().await {
                output.extend_from_slice(&chunk);
            }
            String::from_utf8_lossy(&output).into_owned()
        };
        tokio::join!(self.engine.build(job, source(files), sender), output)
    }

    /// Lines of a `docker` command about things of this world.
    pub fn docker(&self, arguments: &[&str]) -> Vec<String> {
        docker(arguments)
    }

    /// Containers of jobs that are there now.
    pub fn containers(&self) -> Vec<String> {
        let label = format!("label=io.deis.instance={}", self.instance);
        docker(&["ps", "--all", "--quiet", "--filter", &label])
    }

    /// Waits until no container of this world is left.
    pub async fn no_container_is_left(&self) {
        let label = format!("label=io.deis.instance={}", self.instance);
        self.none_is_left(&["ps", "--all", "--quiet", "--filter", &label]).await;
    }

    /// Waits until a `docker` command lists nothing any more.
    pub async fn none_is_left(&self, arguments: &[&str]) {
        for _ in 0..200 {
            if docker(arguments).is_empty() {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("`docker {}` still lists {:?}", arguments.join(" "), docker(arguments));
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for container in self.containers() {
            docker(&["rm", "--force", "--volumes", &container]);
        }
        let prefix = format!("deis-{}", self.instance);
        let reference = format!("reference={prefix}/*");
        for image in docker(&["images", "--format", "{{.Repository}}:{{.Tag}}", "--filter", &reference]) {
            docker(&["rmi", "--force", &image]);
        }
        for kind in ["volume", "network"] {
            let name = format!("name={prefix}");
            for id in docker(&[kind, "ls", "--quiet", "--filter", &name]) {
                docker(&[kind, "rm", &id]);
            }
        }
    }
}

pub fn docker(arguments: &[&str]) -> Vec<String> {
    let output = Command::new("docker").args(arguments).output().expect("docker can be run");
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Says how to get the stack image where it is missing.
pub fn need_stack() {
    assert!(
        !docker(&["image", "inspect", "--format", "{{.Id}}", STACK_IMAGE]).is_empty(),
        "Docker has no {STACK_IMAGE}; make it with `cargo xtask stack`"
    );
}

pub fn app(name: &str) -> AppName {
    AppName::parse(name).expect("a good name")
}

pub fn job(kind: BuildKind) -> BuildJob {
    BuildJob {
        app: app("blog"),
        sha: "0123abcd".to_owned(),
        kind,
        env: BTreeMap::new(),
        cache: true,
        build_args: false,
        deadline_seconds: 120,
    }
}

/// Files as the builder sends them; those in `bin/` can be run.
pub fn source(files: &[(&str, &str)]) -> Source {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(if path.contains("bin/") { 0o755 } else { 0o644 });
        header.set_size(content.len() as u64);
        archive.append_data(&mut header, path, content.as_bytes()).expect("memory takes it");
    }
    Box::pin(std::io::Cursor::new(archive.into_inner().expect("memory takes it")))
}

fn settings(instance: &str, state: &std::path::Path) -> DockerSettings {
    DockerSettings {
        instance: instance.to_owned(),
        socket: None,
        state_dir: state.to_owned(),
        sealing_keys: SealingKey::new(&[1; 32]).into(),
        platform_domain: "localhost".to_owned(),
        platform_routes: Vec::new(),
        router_rules: domain::edge::RouterRules::default(),
        app_rules: std::collections::BTreeMap::new(),
        network_range: format!("10.{}.0.0/16", 100 + rand::random::<u8>() % 100),
        node_labels: BTreeMap::new(),
        stack_image: STACK_IMAGE.to_owned(),
        build_ca_bundle: None,
        build_env: BTreeMap::new(),
        build_memory_bytes: 1 << 30,
        build_pids_max: 512,
        slug_bytes_max: 100 << 20,
        pids_max: 256,
    }
}
