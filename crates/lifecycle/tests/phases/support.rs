//! The world of a test: folders as a builder image has them, and the program.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use lifecycle::facts::{Descriptor, ImageFacts};
use serde_json::{Value, json};
use tempfile::TempDir;

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_lifecycle");

pub struct World {
    pub dir: TempDir,
}

/// One phase that ended.
pub struct Ran {
    pub code: Option<i32>,
    /// Both streams.
    pub output: String,
}

impl Ran {
    fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), output: text(&output.stdout) + &text(&output.stderr) }
    }

    #[track_caller]
    pub fn succeeded(self) -> String {
        assert_eq!(self.code, Some(0), "{}", self.output);
        self.output
    }

    #[track_caller]
    pub fn failed(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{}", self.output);
        self.output
    }
}

impl World {
    /// An app that the buildpacks fit, without cache and last image.
    pub fn new() -> Self {
        let world = Self { dir: tempfile::tempdir().expect("a folder") };
        for folder in ["layers", "platform/env", "workspace", "cache"] {
            fs::create_dir_all(world.path(folder)).expect("a folder");
        }
        world.source();
        let facts = run_image("1");
        fs::write(world.path("run.json"), serde_json::to_vec(&facts).expect("JSON")).expect("a file");
        world
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, name: &str, content: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
        fs::write(path, content).expect("a file");
    }

    fn source(&self) {
        self.write("workspace/runtime-version", "1.2");
        self.write("workspace/name", "blog");
        self.write("workspace/dependencies", "rack");
    }

    /// Folders as at the begin of the next build of the app: fresh source and layers.
    pub fn next_build(&self) {
        for folder in ["layers", "workspace"] {
            fs::remove_dir_all(self.path(folder)).expect("removed");
            fs::create_dir(self.path(folder)).expect("a folder");
        }
        self.source();
    }

    /// A phase with its usual flags and these.
    pub fn phase(&self, name: &str, more: &[&str]) -> Ran {
        let at = |name: &str| self.path(name).into_os_string();
        let buildpacks = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/buildpacks");
        let mut command = Command::new(PROGRAM);
        command.arg(name).args(more).env("CNB_PLATFORM_API", "0.15").env("SECRET_OF_THE_LIFECYCLE", "x");
        let mut flag = |flag: &str, path: std::ffi::OsString| {
            if !more.contains(&flag) {
                command.arg(flag).arg(path);
            }
        };
        flag("-layers", at("layers"));
        if matches!(name, "detector" | "builder") {
            flag("-app", at("workspace"));
            flag("-platform", at("platform"));
            flag("-buildpacks", buildpacks.clone().into());
            flag("-build-config", at("build-config"));
        }
        if name == "detector" {
            flag("-order", buildpacks.join("order.toml").into());
            flag("-system", at("system.toml"));
        }
        if matches!(name, "restorer" | "exporter") {
            flag("-previous", at("previous.json"));
            flag("-cache-dir", at("cache"));
        }
        if name == "exporter" {
            flag("-app", at("workspace"));
            flag("-launcher", PROGRAM.into());
        }
        if matches!(name, "exporter" | "analyzer") {
            flag("-run-image-facts", at("run.json"));
        }
        Ran::of(&command.output().expect("the program runs"))
    }

    /// All phases of a build; returns what they print.
    pub fn build(&self, out: &str, more: &[&str]) -> String {
        let out = self.path(out);
        let mut export = vec!["-out", out.to_str().expect("text")];
        export.extend(more);
        let phases = [
            ("analyzer", &[][..]),
            ("detector", &[]),
            ("restorer", more),
            ("builder", &[]),
            ("exporter", &export),
        ];
        phases.iter().map(|(phase, flags)| self.phase(phase, flags).succeeded()).collect()
    }

    pub fn image(&self, out: &str) -> Image {
        let folder = self.path(out);
        let index = json_of(&folder.join("index.json"));
        let digest = text(&index["manifests"][0]["digest"]);
        let manifest = json_of(&blob(&folder, &digest));
        let config = json_of(&blob(&folder, &text(&manifest["config"]["digest"])));
        Image { folder, digest, manifest, config }
    }

    /// Makes an exported image the last one.
    pub fn set_previous(&self, image: &Image) {
        let layers: Vec<Descriptor> =
            serde_json::from_value(image.manifest["layers"].clone()).expect("descriptors");
        let facts = ImageFacts {
            image: String::new(),
            mirrors: Vec::new(),
            reference: image.digest.clone(),
            config: image.config.clone(),
            layers,
        };
        fs::write(self.path("previous.json"), serde_json::to_vec(&facts).expect("JSON")).expect("a file");
    }

    /// Adds a buildpack of this test alone to copies of the others; returns the flags that choose them.
    pub fn add_buildpack(&self, id: &str, api: &str, detect: &str, build: &str) {
        let folder = format!("buildpacks/{}/1.0.0", id.replace('/', "_"));
        let text = format!("api = \"{api}\"\n[buildpack]\nid = \"{id}\"\nversion = \"1.0.0\"\n");
        self.write(&format!("{folder}/buildpack.toml"), &text);
        for (name, script) in [("detect", detect), ("build", build)] {
            let file = format!("{folder}/bin/{name}");
            self.write(&file, &format!("#!/usr/bin/env bash\nset -eu\n{script}\n"));
            fs::set_permissions(self.path(&file), fs::Permissions::from_mode(0o755)).expect("a mode");
        }
    }

    /// Flags for the buildpacks of this test alone, in this order.
    pub fn order(&self, groups: &[&[&str]]) -> Vec<String> {
        let element = |id: &&str| {
            let name = id.trim_end_matches('?');
            format!("{{id = \"{name}\", version = \"1.0.0\", optional = {}}}", id.ends_with('?'))
        };
        let group = |ids: &&[&str]| {
            format!("[[order]]\ngroup = [{}]\n", ids.iter().map(element).collect::<Vec<_>>().join(", "))
        };
        self.write("order.toml", &groups.iter().map(group).collect::<String>());
        let path = |name: &str| self.path(name).display().to_string();
        vec!["-buildpacks".to_owned(), path("buildpacks"), "-order".to_owned(), path("order.toml")]
    }

    /// Detects and builds with buildpacks of this test alone.
    pub fn detect_and_build(&self, ids: &[&str]) -> Ran {
        let flags = self.order(&[ids]);
        let flags: Vec<_> = flags.iter().map(String::as_str).collect();
        self.phase("detector", &flags).succeeded();
        self.phase("builder", &flags[..2])
    }

    pub fn export(&self, out: &str, more: &[&str]) -> Ran {
        let out = self.path(out);
        let mut flags = vec!["-out", out.to_str().expect("text")];
        flags.extend(more);
        self.phase("exporter", &flags)
    }
}

/// An image in a layout.
pub struct Image {
    pub folder: PathBuf,
    pub digest: String,
    pub manifest: Value,
    pub config: Value,
}

impl Image {
    pub fn label(&self, name: &str) -> Value {
        let label = text(&self.config["config"]["Labels"][name]);
        serde_json::from_str(&label).unwrap_or(Value::String(label))
    }

    /// Digest of a buildpack's layer.
    pub fn layer(&self, buildpack: &str, name: &str) -> String {
        let metadata = self.label("io.buildpacks.lifecycle.metadata");
        let buildpacks = metadata["buildpacks"].as_array().expect("buildpacks").clone();
        let own = buildpacks.iter().find(|it| it["key"] == buildpack).expect("the buildpack");
        text(&own["layers"][name]["sha"])
    }

    pub fn has_blob(&self, digest: &str) -> bool {
        blob(&self.folder, digest).is_file()
    }

    /// Unpacks all layers that the layout has, as an engine would.
    pub fn unpacked(&self, to: &Path) {
        for layer in self.manifest["layers"].as_array().expect("layers") {
            let digest = text(&layer["digest"]);
            if self.has_blob(&digest) {
                let file = fs::File::open(blob(&self.folder, &digest)).expect("a layer");
                let mut archive = tar::Archive::new(file);
                archive.set_preserve_permissions(true);
                archive.unpack(to).expect("unpacked");
            }
        }
    }
}

/// A run image of one layer, which no layout has.
pub fn run_image(digit: &str) -> ImageFacts {
    let digest = format!("sha256:{}", digit.repeat(64));
    let media_type = "application/vnd.docker.image.rootfs.diff.tar.gzip".to_owned();
    ImageFacts {
        image: "registry.example.com/run".to_owned(),
        mirrors: vec!["mirror.example.com/run".to_owned()],
        reference: format!("registry.example.com/run@{digest}"),
        config: json!({
            "architecture": "amd64", "os": "linux",
            "config": {"User": "2000:2000", "Env": ["PATH=/usr/bin:/bin"], "Labels": {
                "io.buildpacks.base.distro.name": "debian", "io.buildpacks.base.distro.version": "13",
            }},
            "rootfs": {"type": "layers", "diff_ids": [digest]},
        }),
        layers: vec![Descriptor { media_type, digest, size: 1234 }],
    }
}

pub fn blob(folder: &Path, digest: &str) -> PathBuf {
    folder.join("blobs/sha256").join(digest.trim_start_matches("sha256:"))
}

pub fn json_of(path: &Path) -> Value {
    let text = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).expect("JSON")
}

pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}
