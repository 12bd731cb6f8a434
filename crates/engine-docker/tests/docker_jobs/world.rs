//! A platform of its own on the machine's Docker daemon, for one test; nothing of it is left behind.

use std::collections::BTreeMap;
use std::process::Command;

use domain::AppName;
use domain::build::{BuildJob, BuildKind, BuiltImage};
use domain::outbound::OutboundPolicy;
use domain::sealing::SealingKey;
use engine::{JobError, Jobs as _, SourceStream};
use engine_docker::{DockerEngine, DockerSettings};

use crate::sources::{run_build, source};

pub const STACK_IMAGE: &str = "deis/stack:latest";

/// A base of a few megabytes, made from this machine's own programs: unpacking the stack takes a build seconds.
pub const BASE_IMAGE: &str = "deis-test-base:latest";
const PROGRAMS: &[&str] = &[
    "cat", "chown", "chroot", "dd", "find", "grep", "head", "ls", "mount", "sh", "sleep", "sort", "tr",
    "true", "unshare",
];

/// Makes the base once and leaves it for the next run.
pub fn base_image() -> &'static str {
    static MADE: std::sync::Once = std::sync::Once::new();
    MADE.call_once(|| {
        if !docker(&["image", "inspect", "--format", "{{.Id}}", BASE_IMAGE]).is_empty() {
            return;
        }
        let mut import = Command::new("docker")
            .args(["import", "-", BASE_IMAGE])
            .stdin(std::process::Stdio::piped())
            .spawn()
            .expect("docker can be run");
        let mut archive = tar::Builder::new(import.stdin.take().expect("it was piped"));
        let mut passwd = tar::Header::new_gnu();
        passwd.set_size(22);
        passwd.set_mode(0o644);
        let root = &b"root:x:0:0::/:/bin/sh\n"[..];
        archive.append_data(&mut passwd, "etc/passwd", root).expect("docker takes it");
        for folder in ["tmp", "mnt", "srv"] {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(tar::EntryType::Directory);
            header.set_size(0);
            header.set_mode(0o755);
            archive.append_data(&mut header, folder, std::io::empty()).expect("docker takes it");
        }
        for (path, file) in programs() {
            archive.append_path_with_name(file, path).expect("docker takes it");
        }
        drop(archive.into_inner().expect("docker takes it"));
        assert!(import.wait().expect("our child").success());
    });
    BASE_IMAGE
}

/// Paths of each program and library in the image and on this machine.
fn programs() -> BTreeMap<String, std::path::PathBuf> {
    let mut files = BTreeMap::new();
    for program in PROGRAMS {
        let paths = ["/bin", "/usr/bin", "/usr/sbin"].map(|folder| format!("{folder}/{program}"));
        let found = paths.iter().find(|path| std::path::Path::new(path).exists()).expect("a usual program");
        let linked = Command::new("ldd").arg(found).output().expect("ldd can be run").stdout;
        let linked = String::from_utf8_lossy(&linked).into_owned();
        let libraries = linked.split_whitespace().filter(|word| word.starts_with('/'));
        let own = (format!("bin/{program}"), found.as_str());
        for (path, file) in libraries.map(|file| (file[1..].to_owned(), file)).chain([own]) {
            files.insert(path, std::fs::canonicalize(file).expect("it is there"));
        }
    }
    files
}

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

    /// Runs a build of these files to its end; gives back its outcome and its output.
    pub async fn build(
        &self,
        job: &BuildJob,
        files: &[(&str, &str)],
    ) -> (Result<BuiltImage, JobError>, String) {
        self.build_source(job, source(files)).await
    }

    pub async fn build_source(
        &self,
        job: &BuildJob,
        source: SourceStream,
    ) -> (Result<BuiltImage, JobError>, String) {
        run_build(|output| self.engine.build(job, source, output)).await
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
        submodules: Vec::new(),
        env: BTreeMap::new(),
        cache: true,
        dockerfile: DockerfileOptions::default(),
        deadline_seconds: 120,
    }
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
        build_disk_bytes: 8 << 30,
        builder_image: "deis/builder:latest".to_owned(),
        base_images: vec![STACK_IMAGE.to_owned(), BASE_IMAGE.to_owned()],
        build_frontends: false,
        build_caches: domain::build_caches::BuildCaches {
            app_bytes_max: 4 << 30,
            all_bytes_max: 8 << 30,
            count_max: 100,
        },
        replica_disk_bytes: None,
        replica_disk_every: std::time::Duration::from_millis(200),
        slug_bytes_max: 100 << 20,
        pids_max: 256,
        insecure_hosts: Vec::new(),
        outbound: OutboundPolicy::new(["127.0.0.0/8".parse().expect("a range")]),
        firewall: None,
    }
}
