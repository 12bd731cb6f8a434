//! A builder of Cloud Native Buildpacks for tests, made from the stack's run image and the platform's lifecycle.
//!
//! Its one buildpack runs `detect.sh` and `build.sh` of the source, if they are there, makes a layer `lib` once for each
//! content of the file `lock`, and has a process `web`, which runs `serve.sh`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Once;

use crate::docker::{docker, image_id};

/// Image of the builder.
pub const BUILDER: &str = "cnb-test/builder:latest";
/// The run image that it names.
pub const RUN_IMAGE: &str = "cnb-test/run:latest";
/// Image of the platform's with the program `lifecycle`.
const PLATFORM_IMAGE: &str = "deis/builder:latest";
const STACK_IMAGE: &str = "deis/stack:latest";
const LIFECYCLE: &str = "/usr/local/bin/lifecycle";
const USER: &str = "2000:2000";
const PACK: &str = "cnb/buildpacks/test_app/1.0.0";
const PACK_TOML: &str =
    "api = \"0.10\"\n[buildpack]\nid = \"test/app\"\nversion = \"1.0.0\"\n[[targets]]\nos = \"linux\"\n";
const ORDER: &str = "[[order]]\n[[order.group]]\nid = \"test/app\"\nversion = \"1.0.0\"\n";
const DESCRIPTOR: &str =
    "[api]\nplatform = \"0.12\"\nbuildpack = \"0.10\"\n[lifecycle]\nversion = \"0.0.1\"\n";
const APIS: &str = r#"{"platform":{"deprecated":[],"supported":["0.12"]},"buildpack":{"deprecated":[],"supported":["0.10"]}}"#;

/// Makes both images once for each process, from what Docker has now.
///
/// # Panics
///
/// Where Docker has no images of the platform.
pub fn make_builder() {
    static MADE: Once = Once::new();
    MADE.call_once(|| {
        for image in [PLATFORM_IMAGE, STACK_IMAGE] {
            assert!(!image_id(image).is_empty(), "Docker has no {image}; make it with `cargo xtask stack`");
        }
        let folder = std::env::temp_dir().join(format!("cnb-builder-{}", std::process::id()));
        write_files(&folder);
        commit(STACK_IMAGE, None, RUN_IMAGE, &[&format!("USER {USER}"), "ENTRYPOINT []"]);
        let metadata = format!(r#"{{"stack":{{"runImage":{{"image":"{RUN_IMAGE}"}}}}}}"#);
        let label = |name: &str, value: &str| format!("LABEL {name}=\"{}\"", value.replace('"', "\\\""));
        let changes = [
            format!("USER {USER}"),
            "ENV CNB_USER_ID=2000 CNB_GROUP_ID=2000".to_owned(),
            label("io.buildpacks.builder.metadata", &metadata),
            label("io.buildpacks.lifecycle.apis", APIS),
            label("io.buildpacks.buildpack.layers", r#"{"test/app":{"1.0.0":{"api":"0.10"}}}"#),
        ];
        let changes: Vec<_> = changes.iter().map(String::as_str).collect();
        commit(STACK_IMAGE, Some(&folder), BUILDER, &changes);
        fs::remove_dir_all(&folder).expect("it is there");
    });
}

fn write_files(folder: &Path) {
    let lifecycle = folder.join("cnb/lifecycle");
    fs::create_dir_all(&lifecycle).expect("a folder");
    fs::create_dir_all(folder.join(PACK).join("bin")).expect("a folder");
    let container = docker(&["create", PLATFORM_IMAGE]).concat();
    for program in ["detector", "builder", "launcher"] {
        let to = lifecycle.join(program);
        run(&["cp", &format!("{container}:{LIFECYCLE}"), &to.to_string_lossy()]);
    }
    docker(&["rm", &container]);
    let pack = Path::new(PACK);
    for (path, content, mode) in [
        (Path::new("cnb/lifecycle/lifecycle.toml"), DESCRIPTOR, 0o644),
        (Path::new("cnb/order.toml"), ORDER, 0o644),
        (&pack.join("buildpack.toml"), PACK_TOML, 0o644),
        (&pack.join("bin/detect"), include_str!("cnb/bin/detect"), 0o755),
        (&pack.join("bin/build"), include_str!("cnb/bin/build"), 0o755),
    ] {
        let file = folder.join(path);
        fs::write(&file, content).expect("a file");
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("its owner");
    }
}

/// Makes an image of another one, with the files of a folder.
fn commit(base: &str, files: Option<&Path>, name: &str, changes: &[&str]) {
    let container = docker(&["create", base]).concat();
    if let Some(folder) = files {
        run(&["cp", &format!("{}/.", folder.display()), &format!("{container}:/")]);
    }
    let changes = changes.iter().flat_map(|change| ["--change", change]);
    let words: Vec<_> = ["commit"].into_iter().chain(changes).chain([container.as_str(), name]).collect();
    run(&words);
    docker(&["rm", &container]);
}

fn run(words: &[&str]) {
    let output = Command::new("docker").args(words).output().expect("docker can be run");
    assert!(output.status.success(), "docker {words:?}: {}", String::from_utf8_lossy(&output.stderr));
}
