//! Detection with programs of buildpacks, and the environment that they see.

use crate::support::World;

fn detect(world: &World, groups: &[&[&str]]) -> crate::support::Ran {
    let flags = world.order(groups);
    world.phase("detector", &flags.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn the_first_group_whose_buildpacks_fit_is_chosen() {
    let world = World::new();
    world.add_buildpack("a", "0.10", "exit 100", "");
    world.add_buildpack("b", "0.10", "exit 0", "");

    let output = detect(&world, &[&["a", "b"], &["a?", "b"], &["b"]]).succeeded();

    assert!(output.contains("fail: a@1.0.0") && output.contains("pass: b@1.0.0"), "{output}");
    let group = std::fs::read_to_string(world.path("layers/group.toml")).expect("a group");
    assert!(group.contains("id = \"b\"") && !group.contains("id = \"a\""), "{group}");
}

#[test]
fn no_fitting_group_is_exit_code_20_and_an_error_21_with_what_each_said() {
    let world = World::new();
    world.add_buildpack("a", "0.10", "echo no such file >&2; exit 100", "");
    world.add_buildpack("b", "0.10", "exit 3", "");

    let no = detect(&world, &[&["a"]]).failed(20);
    assert!(no.contains("no such file"), "{no}");
    let error = detect(&world, &[&["a"], &["b"]]).failed(21);
    assert!(error.contains("err:  b@1.0.0: exit status: 3"), "{error}");
}

#[test]
fn image_extensions_and_unknown_apis_are_refused_by_name() {
    let world = World::new();
    world.add_buildpack("a", "0.99", "", "");
    assert!(detect(&world, &[&["a"]]).failed(12).contains("0.99"));

    world.add_buildpack("a", "0.10", "", "");
    let flags = world.order(&[&["a"]]);
    let order = std::fs::read_to_string(world.path("order.toml")).expect("an order");
    world.write(
        "order.toml",
        &format!("{order}\n[[order-extensions]]\ngroup = [{{id = \"x\", version = \"1\"}}]\n"),
    );
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    assert!(world.phase("detector", &flags).failed(22).contains("image extensions"));
}

#[test]
fn buildpacks_see_config_and_target_but_nothing_of_the_lifecycles_environment() {
    let world = World::new();
    world.write("platform/env/COLOR", "teal");
    world.phase("analyzer", &[]).succeeded();
    world.add_buildpack("a", "0.10", "env; exit 100", "");
    world.add_buildpack("b", "0.10", "env; exit 100", "");
    let file = "buildpacks/b/1.0.0/buildpack.toml";
    let text = std::fs::read_to_string(world.path(file)).expect("a descriptor");
    world.write(file, &format!("{text}clear-env = true\n"));

    let seen = detect(&world, &[&["a"]]).failed(20);
    let cleared = detect(&world, &[&["b"]]).failed(20);

    for pair in
        ["COLOR=teal", "CNB_TARGET_ARCH=amd64", "CNB_TARGET_DISTRO_NAME=debian", "CNB_EXEC_ENV=production"]
    {
        assert!(seen.contains(pair), "{pair} in {seen}");
    }
    assert!(!seen.contains("SECRET_OF_THE_LIFECYCLE"), "{seen}");
    assert!(!cleared.contains("COLOR") && cleared.contains("CNB_PLATFORM_DIR"), "{cleared}");
}

#[test]
fn buildpacks_of_the_system_are_around_each_group() {
    let world = World::new();
    for id in ["a", "b", "c"] {
        world.add_buildpack(id, "0.10", "", "");
    }
    let element = |id: &str| {
        format!(
            "[[system.{id}.buildpacks]]\nid = \"{}\"\nversion = \"1.0.0\"\n",
            if id == "pre" { "a" } else { "c" }
        )
    };
    world.write("system.toml", &(element("pre") + &element("post")));

    let output = detect(&world, &[&["b"]]).succeeded();

    assert!(output.ends_with("a 1.0.0\nb 1.0.0\nc 1.0.0\n"), "{output}");
}

#[test]
fn a_missing_platform_api_is_exit_code_11() {
    let output = std::process::Command::new(crate::support::PROGRAM)
        .arg("detector")
        .env_remove("CNB_PLATFORM_API")
        .output()
        .expect("it runs");

    assert_eq!(output.status.code(), Some(11));
}

#[test]
fn a_failed_build_is_exit_code_51_and_names_the_buildpack() {
    let world = World::new();
    world.add_buildpack("a", "0.10", "", "echo because; exit 7");

    let output = world.detect_and_build(&["a"]).failed(51);

    assert!(
        output.contains("because") && output.contains("buildpack a@1.0.0 failed: exit status: 7"),
        "{output}"
    );
}

#[test]
fn later_buildpacks_see_build_layers_of_earlier_ones_and_no_others() {
    let world = World::new();
    let layer = |name: &str, types: &str| {
        format!(
            "mkdir -p $CNB_LAYERS_DIR/{name}/env; printf 1 > $CNB_LAYERS_DIR/{name}/env/OF_{name}; printf '[types]\\n{types}\\n' > $CNB_LAYERS_DIR/{name}.toml\n"
        )
    };
    let script = layer("BUILD", "build = true") + &layer("LAUNCH", "launch = true") + &layer("NONE", "");
    world.add_buildpack("a", "0.10", "", &script);
    world.add_buildpack("b", "0.10", "", "env; ls -d $CNB_LAYERS_DIR/../a/NONE*");

    let output = world.detect_and_build(&["a", "b"]).succeeded();

    assert!(
        output.contains("OF_BUILD=1") && !output.contains("OF_LAUNCH") && !output.contains("OF_NONE"),
        "{output}"
    );
    assert!(output.contains("NONE.ignore"), "{output}");
}

#[test]
fn an_sbom_that_was_not_declared_and_an_unmet_name_that_was_not_offered_fail_the_build() {
    let world = World::new();
    world.add_buildpack("a", "0.10", "", "echo {} > $CNB_LAYERS_DIR/launch.sbom.cdx.json");
    assert!(world.detect_and_build(&["a"]).failed(52).contains("sbom-formats"));

    world.add_buildpack("b", "0.10", "", "printf '[[unmet]]\\nname = \"x\"\\n' > $CNB_LAYERS_DIR/build.toml");
    assert!(world.detect_and_build(&["b"]).failed(52).contains("`x`"));
}
