//! Buildpacks that mean harm, or write nonsense: export and restore read nothing of theirs but files in their place.

use std::fs;
use std::os::unix::fs::symlink;

use crate::support::World;

/// Builds with one buildpack of this script, and exports.
fn exported(script: &str) -> (World, crate::support::Ran) {
    let world = World::new();
    world.phase("analyzer", &[]).succeeded();
    world.write("secret/token", "of the platform");
    world.add_buildpack("a", "0.10", "", script);
    world.detect_and_build(&["a"]).succeeded();
    let ran = world.export("out", &[]);
    (world, ran)
}

const LAUNCH_LAYER: &str = "printf '[types]\\nlaunch = true\\n' > $CNB_LAYERS_DIR/x.toml\n";

#[test]
fn a_buildpack_that_rewrites_what_was_analyzed_changes_nothing() {
    let script = "printf '[run-image]\\nreference = \"evil\"\\nimage = \"evil\"\\n' > $CNB_LAYERS_DIR/../analyzed.toml; \
                  echo 'images = [{image = \"evil\"}]' > $CNB_LAYERS_DIR/../run.toml";

    let (world, ran) = exported(script);

    ran.succeeded();
    let image = world.image("out");
    assert_eq!(
        image.label("io.buildpacks.lifecycle.metadata")["runImage"]["image"],
        "registry.example.com/run"
    );
    assert!(!image.config.to_string().contains("evil") && !image.manifest.to_string().contains("evil"));
}

#[test]
fn a_layer_that_is_a_link_is_refused() {
    let (_world, ran) = exported(&format!("{LAUNCH_LAYER}ln -s ../../secret $CNB_LAYERS_DIR/x"));

    assert!(ran.failed(62).contains("layers/a/x is no folder"));
}

#[test]
fn links_inside_of_layers_and_apps_stay_links() {
    let (world, ran) = exported(&format!(
        "{LAUNCH_LAYER}mkdir $CNB_LAYERS_DIR/x; ln -s ../../../secret $CNB_LAYERS_DIR/x/link; ln -s ../secret/token token"
    ));

    ran.succeeded();
    let root = world.path("root");
    world.image("out").unpacked(&root);
    for link in ["layers/a/x/link", "workspace/token"] {
        let path = root.join(world.path(link).strip_prefix("/").expect("absolute"));
        assert!(fs::symlink_metadata(&path).expect("an entry").is_symlink(), "{link}");
    }
}

#[test]
fn files_of_the_formats_that_are_links_or_fifos_are_refused() {
    for (script, named) in [
        ("ln -s ../../secret/token $CNB_LAYERS_DIR/x.toml", "x.toml"),
        ("rm -f $CNB_LAYERS_DIR/store.toml; mkfifo $CNB_LAYERS_DIR/store.toml", "store.toml"),
        (
            "mkdir -p $CNB_LAYERS_DIR/../sbom; ln -s ../../secret $CNB_LAYERS_DIR/../sbom/launch",
            "sbom/launch",
        ),
        (
            "mkdir -p $CNB_LAYERS_DIR/../sbom/build; ln -s ../../../secret/token $CNB_LAYERS_DIR/../sbom/build/t",
            "sbom/build/t",
        ),
    ] {
        let world = World::new();
        world.add_buildpack("a", "0.10", "", "");
        world.detect_and_build(&["a"]).succeeded();
        // Between build and export, as a process that the buildpack left behind may.
        let ran = std::process::Command::new("bash")
            .arg("-c")
            .arg(script)
            .env("CNB_LAYERS_DIR", world.path("layers/a"))
            .status();
        assert!(ran.expect("bash").success());

        let output = world.export("out", &[]).failed(62);

        assert!(output.contains(named) && !output.contains("of the platform"), "{output}");
    }
}

#[test]
fn fifos_and_devices_in_layers_are_refused_by_name() {
    for make in ["mkfifo", "mknod_null"] {
        let make = make.replace("mknod_null", "mknod -m 666");
        let kind = if make == "mkfifo" { "" } else { " c 1 3" };
        let world = World::new();
        world.add_buildpack("a", "0.10", "", &format!("{LAUNCH_LAYER}mkdir $CNB_LAYERS_DIR/x"));
        world.detect_and_build(&["a"]).succeeded();
        let made = std::process::Command::new("bash")
            .arg("-c")
            .arg(format!("{make} $1{kind}"))
            .arg("-")
            .arg(world.path("layers/a/x/special"))
            .status();
        // Only root makes devices.
        if made.expect("bash").success() {
            assert!(world.export("out", &[]).failed(62).contains("x/special"), "{make}");
        }
    }
}

#[test]
fn entries_and_bytes_are_bounded() {
    let world = World::new();
    let script = format!("{LAUNCH_LAYER}mkdir $CNB_LAYERS_DIR/x; cd $CNB_LAYERS_DIR/x; touch $(seq 1 2000)");
    world.add_buildpack("a", "0.10", "", &script);
    world.detect_and_build(&["a"]).succeeded();

    assert!(world.export("out-1", &["-max-entries", "1000"]).failed(62).contains("1000 entries"));
    assert!(world.export("out-2", &["-max-bytes", "1000"]).failed(62).contains("1000 bytes"));
    world.export("out-3", &["-max-entries", "5000"]).succeeded();
}

#[test]
fn layers_and_their_metadata_are_bounded() {
    let layer = "mkdir $CNB_LAYERS_DIR/x$n; printf '[types]\\nlaunch = true\\n' > $CNB_LAYERS_DIR/x$n.toml";
    let (_world, many) = exported(&format!("for n in $(seq 1 130); do {layer}; done"));
    assert!(many.failed(62).contains("more than 127"));

    let metadata = "printf '[metadata]\\na = \"%s\"\\n' $(head -c 600000 /dev/zero | tr '\\0' a) > $CNB_LAYERS_DIR/x$n.toml";
    let (_world, large) = exported(&format!("for n in 1 2; do {metadata}; done"));
    assert!(large.failed(62).contains("bytes together"));
}

#[test]
fn a_failed_export_leaves_the_cache_as_it_was() {
    let world = World::new();
    world.build("out-1", &[]);
    let before = fs::read_to_string(world.path("cache/metadata.json")).expect("a cache");
    symlink("/etc", world.path("layers/tests_app/evil")).expect("a link");
    world.write("layers/tests_app/evil.toml", "[types]\ncache = true\n");

    world.export("out-2", &[]).failed(62);

    assert_eq!(fs::read_to_string(world.path("cache/metadata.json")).expect("a cache"), before);
}

#[test]
fn the_restorer_does_not_write_through_links_that_detection_left() {
    let world = World::new();
    world.build("out-1", &[]);
    world.set_previous(&world.image("out-1"));
    world.next_build();
    world.write("secret/token", "of the platform");
    world.phase("detector", &[]).succeeded();
    symlink(world.path("secret"), world.path("layers/tests_runtime")).expect("a link");
    world.write("layers/tests_app/elsewhere/file", "");
    symlink(world.path("secret"), world.path("layers/tests_app/downloads")).expect("a link");

    world.phase("restorer", &[]).succeeded();

    assert!(!fs::symlink_metadata(world.path("layers/tests_runtime")).expect("a folder").is_symlink());
    assert!(world.path("layers/tests_runtime/runtime/bin/runtime").is_file());
    let secret: Vec<_> = fs::read_dir(world.path("secret")).expect("a folder").collect();
    assert_eq!(secret.len(), 1);
}

#[test]
fn a_last_image_whose_label_names_paths_as_layers_is_refused() {
    let world = World::new();
    let label = r#"{"buildpacks": [{"key": "tests/app", "version": "1", "layers": {"../../evil": {"sha": "", "launch": true}}}]}"#;
    let mut facts = crate::support::run_image("1");
    facts.config["config"]["Labels"] = serde_json::json!({"io.buildpacks.lifecycle.metadata": label});
    fs::write(world.path("previous.json"), serde_json::to_vec(&facts).expect("JSON")).expect("a file");
    world.phase("detector", &[]).succeeded();

    let output = world.phase("restorer", &[]).failed(42);

    assert!(output.contains("../../evil.toml") && !world.path("evil.toml").exists(), "{output}");
}

#[test]
fn a_group_that_leads_out_of_the_layers_is_refused() {
    let world = World::new();
    world.write("layers/config/metadata.toml", "");
    for id in ["..", "../secret", "config"] {
        world.write(
            "layers/group.toml",
            &format!("[[group]]\nid = \"{id}\"\nversion = \"1\"\napi = \"0.10\"\n"),
        );

        for phase in ["restorer", "exporter"] {
            let out = world.path("out");
            let flags = ["-out", out.to_str().expect("text")];
            let flags = if phase == "exporter" { &flags[..] } else { &[] };
            let output = world.phase(phase, flags);
            assert!(output.code != Some(0) && output.output.contains("not an id"), "{id}: {}", output.output);
        }
    }
}

#[test]
fn labels_of_buildpacks_cannot_replace_those_of_the_lifecycle() {
    let script = "printf '[[labels]]\\nkey = \"io.buildpacks.lifecycle.metadata\"\\nvalue = \"evil\"\\n' > $CNB_LAYERS_DIR/launch.toml";

    let (world, ran) = exported(script);

    ran.succeeded();
    assert!(world.image("out").label("io.buildpacks.lifecycle.metadata").is_object());
}

#[test]
fn slices_that_lead_out_of_the_app_are_refused() {
    let (_world, ran) =
        exported("printf '[[slices]]\\npaths = [\"../secret\"]\\n' > $CNB_LAYERS_DIR/launch.toml");

    assert!(ran.failed(62).contains("../secret"));
}
