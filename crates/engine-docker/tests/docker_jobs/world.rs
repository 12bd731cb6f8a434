//! A platform of its own on the machine's Docker daemon, for one test; nothing of it is left behind.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Once};

use domain::build::BuildKind;
use domain::sbom::Inventory;
use domain::{AppName, Image};
use engine::conformance::builds::{BuildLimits, BuildSubject, CnbSubject, with_newer_stack};
use engine::log_queue::LogQueue;
use engine::{ImageError, Images as _};
use engine_docker::{DockerEngine, DockerSettings};
use testkit::cnb::{BUILDER, make_builder};
use testkit::docker::{docker, image_id, import};

use crate::machine::{Instance, STACK_IMAGE};

/// A base of a few megabytes, made from this machine's own programs: unpacking the stack takes a build seconds.
pub const BASE_IMAGE: &str = "deis-test-base:latest";
const PROGRAMS: &[&str] = &[
    "cat", "chown", "chroot", "dd", "find", "grep", "head", "ls", "mount", "sh", "sleep", "sort", "tr",
    "true", "unshare",
];

/// Makes the base once and leaves it for the next run.
fn make_base() {
    static MADE: Once = Once::new();
    MADE.call_once(|| {
        if !image_id(BASE_IMAGE).is_empty() {
            return;
        }
        let mut archive = tar::Builder::new(Vec::new());
        let mut passwd = tar::Header::new_gnu();
        passwd.set_size(22);
        passwd.set_mode(0o644);
        let root = &b"root:x:0:0::/:/bin/sh\n"[..];
        archive.append_data(&mut passwd, "etc/passwd", root).expect("memory takes it");
        for folder in ["tmp", "mnt", "srv"] {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(tar::EntryType::Directory);
            header.set_size(0);
            header.set_mode(0o755);
            archive.append_data(&mut header, folder, std::io::empty()).expect("memory takes it");
        }
        for (path, file) in programs() {
            archive.append_path_with_name(file, path).expect("memory takes it");
        }
        import(BASE_IMAGE, &archive.into_inner().expect("memory takes it"), &[]);
    });
}

/// Paths of each program and library in the image and on this machine.
fn programs() -> BTreeMap<String, PathBuf> {
    let mut files = BTreeMap::new();
    for program in PROGRAMS {
        let paths = ["/bin", "/usr/bin", "/usr/sbin"].map(|folder| format!("{folder}/{program}"));
        let found = paths.iter().find(|path| Path::new(path).exists()).expect("a usual program");
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

/// Starts an engine with these settings.
pub async fn start(settings: &DockerSettings) -> DockerEngine {
    let log_sink = Arc::<LogQueue>::default();
    DockerEngine::start(settings.clone(), log_sink).await.expect("Docker answers")
}

/// An engine and all that it makes.
pub struct World {
    pub engine: DockerEngine,
    pub instance: Instance,
    pub settings: DockerSettings,
    _state: tempfile::TempDir,
}

impl World {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut DockerSettings)) -> Self {
        assert!(
            !image_id(STACK_IMAGE).is_empty(),
            "Docker has no {STACK_IMAGE}; make it with `cargo xtask stack`"
        );
        make_base();
        let state = tempfile::tempdir().expect("a temporary folder");
        let instance = Instance::new();
        let mut settings = instance.settings(state.path());
        settings.base_images.push(BASE_IMAGE.to_owned());
        change(&mut settings);
        let engine = start(&settings).await;
        Self { engine, instance, settings, _state: state }
    }

    /// Name of an app's images.
    pub fn repository(&self, app: &str) -> String {
        format!("{}/{app}", self.instance.prefix())
    }

    /// Name of an image of an app.
    pub fn name(&self, app: &AppName, image: &Image) -> String {
        format!("{}:{}", self.repository(app.as_str()), image.digest().hex())
    }

    /// A name of someone else's for the image, which goes with this world.
    pub fn foreign_name(&self) -> String {
        format!("host-{}:latest", self.instance.0)
    }
}

impl BuildSubject for World {
    type Jobs = DockerEngine;

    async fn start(limits: BuildLimits) -> Self {
        Self::with(|settings| {
            let (memory, slug) = (&mut settings.build_memory_bytes, &mut settings.slug_bytes_max);
            limits.replace(memory, slug, &mut settings.build_caches);
            settings.stacks = with_newer_stack(settings.stacks.clone());
        })
        .await
    }

    fn jobs(&self) -> &DockerEngine {
        &self.engine
    }

    async fn take_over(&mut self) {
        self.engine = start(&self.settings).await;
    }

    fn new_app(&self) -> AppName {
        app(&format!("blog-{:08x}", rand::random::<u32>()))
    }

    fn deploy(&self, _: &AppName) {}

    fn base(&self) -> &str {
        BASE_IMAGE
    }

    async fn stack_of(&self, app: &AppName) -> Image {
        let resolved = self.engine.resolve(STACK_IMAGE, None).await.expect("the stack image is here");
        self.engine.keep(app, &resolved.image).await.expect("it can be kept");
        resolved.image
    }

    async fn stack_layers(&self) -> Vec<String> {
        layers(STACK_IMAGE)
    }

    async fn base_layers(&self) -> Vec<String> {
        layers(BASE_IMAGE)
    }

    async fn layers(&self, app: &AppName, image: &Image) -> Vec<String> {
        layers(&self.name(app, image))
    }

    async fn packages(&self, app: &AppName, image: &Image) -> Result<Inventory, ImageError> {
        self.engine.packages(app, image).await
    }

    /// Those of Docker's store: the platform's own name for it, one of someone else's, and its id.
    fn names_of(&self, app: &AppName, image: &Image) -> Vec<String> {
        let (named, foreign) = (self.name(app, image), self.foreign_name());
        let id = image_id(&named).replace("sha256:", "");
        docker(&["tag", &named, &foreign]);
        vec![named, foreign, id.clone(), id[..12].to_owned(), format!("sha256:{id}")]
    }

    async fn has_cache(&self, app: &AppName, kind: BuildKind) -> bool {
        let folder = match kind {
            BuildKind::Buildpack => "cache",
            BuildKind::Dockerfile => "layers",
            BuildKind::Cnb => "cnb",
        };
        !self.instance.volumes(&format!("-{folder}-{app}$")).is_empty()
    }

    fn running(&self) -> Vec<String> {
        self.instance.containers()
    }
}

impl CnbSubject for World {
    fn builder(&self) -> String {
        make_builder();
        BUILDER.to_owned()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.instance.remove();
        docker(&["rmi", "--force", &self.foreign_name()]);
    }
}

fn layers(image: &str) -> Vec<String> {
    docker(&["image", "inspect", "--format", "{{range .RootFS.Layers}}{{println .}}{{end}}", image])
}

pub fn app(name: &str) -> AppName {
    AppName::parse(name).expect("a good name")
}
