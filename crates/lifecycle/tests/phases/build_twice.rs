//! An app is built again and again: what is reused, and what the images say.

use std::fs;
use std::os::unix::fs::MetadataExt;

use serde_json::json;

use crate::support::{World, json_of, run_image, text};

#[test]
fn the_second_build_of_the_same_source_reuses_layers_and_gives_the_same_image() {
    let world = World::new();
    let first = world.build("out-1", &[]);
    let one = world.image("out-1");
    world.set_previous(&one);
    world.next_build();

    let second = world.build("out-2", &[]);
    let two = world.image("out-2");

    assert!(first.contains("runtime 1.2 is made") && first.contains("dependencies are installed"), "{first}");
    assert!(
        second.contains("runtime 1.2 from the cache") && second.contains("dependencies are reused"),
        "{second}"
    );
    assert!(first.contains("downloads: 0") && second.contains("downloads: 1"), "{second}");
    for (buildpack, layer) in [("tests/runtime", "runtime"), ("tests/app", "dependencies")] {
        assert_eq!(one.layer(buildpack, layer), two.layer(buildpack, layer));
    }
    // The reused layer is the last image's; the layout does not hold it.
    assert!(!two.has_blob(&two.layer("tests/app", "dependencies")));
    assert!(two.has_blob(&two.layer("tests/runtime", "runtime")));
    // All but the counter of the buildpack's store is the same.
    assert_eq!(one.manifest["layers"], two.manifest["layers"]);
    let store = |image: &crate::support::Image| {
        image.label("io.buildpacks.lifecycle.metadata")["buildpacks"][1]["store"]["metadata"]["builds"]
            .clone()
    };
    assert_eq!((store(&one), store(&two)), (json!(1), json!(2)));
}

#[test]
fn the_same_source_without_cache_gives_the_same_digest_in_another_place() {
    let world = World::new();
    world.build("out-1", &[]);
    world.next_build();
    fs::remove_dir_all(world.path("cache")).expect("removed");

    world.build("out-2", &[]);

    assert_eq!(world.image("out-1").digest, world.image("out-2").digest);
}

#[test]
fn a_changed_line_of_the_app_changes_its_layers_alone() {
    let world = World::new();
    world.build("out-1", &[]);
    let one = world.image("out-1");
    world.set_previous(&one);
    world.next_build();
    world.write("workspace/name", "shop");

    world.build("out-2", &[]);
    let two = world.image("out-2");

    assert_eq!(one.layer("tests/runtime", "runtime"), two.layer("tests/runtime", "runtime"));
    assert_ne!(
        one.label("io.buildpacks.lifecycle.metadata")["app"],
        two.label("io.buildpacks.lifecycle.metadata")["app"]
    );
    assert_eq!(two.label("tests.name"), json!("shop"));
}

#[test]
fn changed_dependencies_and_versions_are_made_again() {
    let world = World::new();
    world.build("out-1", &[]);
    let one = world.image("out-1");
    world.set_previous(&one);
    world.next_build();
    world.write("workspace/dependencies", "sinatra");
    world.write("workspace/runtime-version", "1.3");

    let second = world.build("out-2", &[]);
    let two = world.image("out-2");

    assert!(
        second.contains("runtime 1.3 is made") && second.contains("dependencies are installed"),
        "{second}"
    );
    assert_ne!(one.layer("tests/runtime", "runtime"), two.layer("tests/runtime", "runtime"));
}

#[test]
fn a_kept_launch_layer_is_in_the_layout_again() {
    let world = World::new();
    world.build("out-1", &["-keep-launch-layers"]);
    world.set_previous(&world.image("out-1"));
    world.next_build();

    let second = world.build("out-2", &["-keep-launch-layers"]);
    let two = world.image("out-2");

    assert!(second.contains("dependencies are reused"), "{second}");
    assert!(two.has_blob(&two.layer("tests/app", "dependencies")));
}

#[test]
fn without_its_kept_layer_a_launch_layer_is_made_again() {
    let world = World::new();
    world.build("out-1", &[]);
    world.set_previous(&world.image("out-1"));
    world.next_build();

    let second = world.build("out-2", &["-keep-launch-layers"]);

    assert!(second.contains("dependencies are installed"), "{second}");
}

#[test]
fn a_lost_cache_loses_metadata_and_content_together() {
    let world = World::new();
    world.build("out-1", &[]);
    world.set_previous(&world.image("out-1"));
    world.next_build();
    fs::remove_dir_all(world.path("cache")).expect("removed");

    let second = world.build("out-2", &[]);

    assert!(second.contains("runtime 1.2 is made") && second.contains("downloads: 0"), "{second}");
    assert!(second.contains("dependencies are reused"), "{second}");
}

#[test]
fn the_image_has_what_the_specification_asks_for() {
    let world = World::new();
    world.build("out", &[]);
    let image = world.image("out");
    let at = |name: &str| world.path(name).display().to_string();

    let config = &image.config["config"];
    assert_eq!(config["Entrypoint"], json!(["/cnb/process/web"]));
    assert_eq!(
        (text(&config["WorkingDir"]), text(&config["User"])),
        (at("workspace"), "2000:2000".to_owned())
    );
    let env = config["Env"].as_array().expect("a list").clone();
    let expected = [
        format!("CNB_LAYERS_DIR={}", at("layers")),
        format!("CNB_APP_DIR={}", at("workspace")),
        "CNB_PLATFORM_API=0.15".to_owned(),
        "PATH=/cnb/process:/cnb/lifecycle:/usr/bin:/bin".to_owned(),
    ];
    assert!(expected.iter().all(|pair| env.contains(&json!(pair))), "{env:?}");
    let layers = image.manifest["layers"].as_array().expect("layers").len();
    assert_eq!(image.config["rootfs"]["diff_ids"].as_array().expect("diff IDs").len(), layers);
    assert_eq!(image.manifest["layers"][0]["digest"], json!(format!("sha256:{}", "1".repeat(64))));

    let metadata = image.label("io.buildpacks.lifecycle.metadata");
    assert_eq!(metadata["runImage"]["image"], "registry.example.com/run");
    assert_eq!(metadata["runImage"]["mirrors"], json!(["mirror.example.com/run"]));
    assert_eq!(metadata["runImage"]["topLayer"], json!(format!("sha256:{}", "1".repeat(64))));
    // A slice and the rest.
    assert_eq!(metadata["app"].as_array().expect("layers").len(), 2);
    let build = image.label("io.buildpacks.build.metadata");
    assert_eq!(build["processes"][0]["command"], json!(["slug", "static"]));
    assert_eq!(build["processes"][0]["buildpackID"], "tests/app");
    assert_eq!(build["buildpacks"][0]["homepage"], "https://example.com/runtime");
    let report = fs::read_to_string(world.path("out/report.toml")).expect("a report");
    assert!(report.contains(&image.digest), "{report}");
}

#[test]
fn sboms_of_launch_layers_are_a_layer_and_come_back_with_their_layer() {
    let world = World::new();
    world.build("out", &[]);
    let image = world.image("out");
    world.set_previous(&image);
    let root = world.path("root");
    image.unpacked(&root);

    let sbom = root.join(
        world
            .path("layers/sbom/launch/tests_runtime/runtime/sbom.spdx.json")
            .strip_prefix("/")
            .expect("absolute"),
    );
    assert_eq!(json_of(&sbom)["name"], "runtime");

    world.next_build();
    world.phase("detector", &[]).succeeded();
    world.phase("restorer", &[]).succeeded();
    assert_eq!(json_of(&world.path("layers/tests_runtime/runtime.sbom.spdx.json"))["name"], "runtime");
}

#[test]
fn an_exported_image_is_rebased_onto_a_newer_run_image() {
    let world = World::new();
    world.build("out", &[]);
    let image = world.image("out");
    world.set_previous(&image);
    fs::write(world.path("new-run.json"), serde_json::to_vec(&run_image("2")).expect("JSON"))
        .expect("a file");
    let at = |name: &str| world.path(name).display().to_string();

    let (app, run_image, out) = (at("previous.json"), at("new-run.json"), at("rebased"));
    let flags = ["rebaser", "-image", &app, "-run-image-facts", &run_image, "-out", &out];
    let ran = std::process::Command::new(crate::support::PROGRAM)
        .args(flags)
        .env("CNB_PLATFORM_API", "0.12")
        .output();

    assert!(ran.expect("it runs").status.success());
    let rebased = world.image("rebased");
    let layers = |image: &crate::support::Image| image.manifest["layers"].as_array().expect("layers").clone();
    assert_eq!(layers(&rebased)[0]["digest"], json!(format!("sha256:{}", "2".repeat(64))));
    assert_eq!(layers(&rebased)[1..], layers(&image)[1..]);
}

#[test]
fn what_is_restored_belongs_to_the_user_of_builds_with_its_modes() {
    if !nix::unistd::geteuid().is_root() {
        return; // Only root can give files away.
    }
    let world = World::new();
    let script = "layer=$CNB_LAYERS_DIR/x; mkdir -p $layer/closed; echo a > $layer/closed/file; ln -s file $layer/closed/link
        ln $layer/closed/file $layer/closed/second; chmod 555 $layer/closed; printf '[types]\\ncache = true\\n' > $layer.toml";
    world.add_buildpack("a", "0.10", "", script);
    world.detect_and_build(&["a"]).succeeded();
    let owner = ["-uid", "1234", "-gid", "1235"];
    world.export("out", &owner).succeeded();
    fs::remove_dir_all(world.path("layers/a")).expect("removed");

    world.phase("restorer", &owner).succeeded();

    for path in ["", "/x.toml", "/x", "/x/closed", "/x/closed/file", "/x/closed/link"] {
        let metadata = fs::symlink_metadata(world.path(&format!("layers/a{path}"))).expect("an entry");
        assert_eq!((metadata.uid(), metadata.gid()), (1234, 1235), "{path}");
    }
    let metadata = |path: &str| fs::metadata(world.path(path)).expect("an entry");
    assert_eq!(metadata("layers/a/x/closed").mode() & 0o7777, 0o555);
    assert_eq!(metadata("layers/a/x/closed/file").ino(), metadata("layers/a/x/closed/second").ino());
}

#[test]
fn sboms_of_the_build_are_beside_the_image() {
    let world = World::new();
    world.build("out", &[]);
    world.write("layers/sbom/build/a/sbom.cdx.json", "{}");

    world.export("out-2", &[]).succeeded();

    assert_eq!(json_of(&world.path("out-2/sbom/build/a/sbom.cdx.json")), json!({}));
}
