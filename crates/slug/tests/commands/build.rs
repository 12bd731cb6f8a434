//! `slug build` with packs of a few lines: what packs get, what their reader sees, what comes out.

use std::fs;
use std::os::unix::fs::MetadataExt;

use crate::support::World;

#[test]
fn a_pack_gets_source_cache_and_config_and_its_output_is_indented() {
    let world = World::new();
    world.file("workspace/env/COLOR", "teal");
    fs::create_dir(world.path("workspace/cache")).expect("cache");
    let pack = r#"
        echo "-----> Painting"; echo "in $(cat "$3/COLOR"), not ${COLOR:-exported}"; echo "oops" >&2
        [ "$PWD" = "$1" ] && [ -d "$1/.profile.d" ] && [ -n "$REQUEST_ID$STACK$APP_DIR" ] && [ "$HOME" = "$APP_DIR" ]
        echo kept > "$2/file"; cp "$1/hello.txt" "$1/copy.txt""#;
    world.program("buildpacks/10-any/bin/compile", pack);

    let done = world.build().good();

    assert!(done.has_line("-----> Any app detected"), "{done:#?}");
    assert!(done.has_line("-----> Painting"));
    assert!(done.has_line("       in teal, not exported"));
    assert!(done.has_line("       oops"));
    assert!(done.has_line("       5B in 1 files"), "{done:#?}");
    assert!(done.out.lines().last().is_some_and(|line| line.starts_with("-----> Compiled slug size is ")));
    assert_eq!(world.layer(), ["app/.release", "app/copy.txt", "app/hello.txt"]);
    assert!(world.path("workspace/cache/file").exists());
}

#[test]
fn the_procfile_counts_more_than_the_packs_defaults() {
    let world = World::new();
    world.program("buildpacks/10-any/bin/release", "printf 'default_process_types:\\n  web: default\\n'");
    world.file("workspace/source/Procfile", "web: mine\nworker: too\n");

    let done = world.build().good();

    assert!(done.has_line("-----> Discovering process types"));
    assert!(done.has_line("       Procfile declares types -> web, worker"), "{done:#?}");
    assert!(done.has_line("       Default process types for Any -> web"));
    let result = world.result();
    assert_eq!(result["process_types"], serde_json::json!({"web": "mine", "worker": "too"}));
    assert_eq!(result["buildpack"], "Any");
    assert!(result["seconds"]["compile"].is_number());
}

#[test]
fn without_a_procfile_the_defaults_of_the_release_count() {
    let world = World::new();
    world.program("buildpacks/10-any/bin/release", "printf 'default_process_types:\\n  web: default\\n'");

    world.build().good();

    assert_eq!(world.result()["process_types"], serde_json::json!({"web": "default"}));
    assert!(!world.layer().contains(&"app/Procfile".to_owned()));
}

#[test]
fn a_malformed_procfile_is_told_before_anything_is_compiled() {
    let world = World::new();
    world.program("buildpacks/10-any/bin/compile", "echo compiled");
    world.file("workspace/source/Procfile", "this is no Procfile\n");

    let done = world.build();

    assert_eq!(done.code, 65, "{done:#?}");
    assert!(done.err.contains("Procfile line 1"), "{done:#?}");
    assert_eq!(done.out, "");
}

#[test]
fn packs_are_tried_in_order_and_none_is_an_error() {
    let world = World::new();
    world.program("buildpacks/10-any/bin/detect", "exit 1");
    world.program("buildpacks/20-other/bin/detect", "test -f \"$1/other.txt\" && echo Other");
    world.program("buildpacks/20-other/bin/compile", "true");

    let none = world.build();
    world.file("workspace/source/other.txt", "x");
    let other = world.build().good();

    assert_eq!(none.code, 1);
    assert!(none.err.contains("Unable to select a buildpack: none of any, other fits"), "{none:#?}");
    assert!(other.has_line("-----> Other app detected"));
}

#[test]
fn a_failing_step_ends_the_build_and_leaves_no_result() {
    for (program, named) in [
        ("buildpacks/10-any/bin/compile", "buildpack Any: compile exited with code 7"),
        ("buildpacks/10-any/bin/release", "buildpack Any: release exited with code 7"),
        ("workspace/source/bin/pre-compile", "bin/pre-compile exited with code 7"),
        ("workspace/source/bin/post-compile", "bin/post-compile exited with code 7"),
    ] {
        let world = World::new();
        world.program(program, "exit 7");

        let done = world.build();

        assert_eq!(done.code, 1, "{done:#?}");
        assert!(done.err.contains(named), "{done:#?}");
        assert!(!world.path("workspace/out/result.json").exists());
    }
}

#[test]
fn hooks_of_the_app_run_before_and_after_compile_in_the_build_folder() {
    let world = World::new();
    world.program("workspace/source/bin/pre-compile", "echo pre >> order.txt");
    world.program("buildpacks/10-any/bin/compile", "echo compile >> $1/order.txt");
    world.program("workspace/source/bin/post-compile", "echo post >> order.txt; cat order.txt");

    let done = world.build().good();

    assert!(done.out.contains("       pre\n       compile\n       post\n"), "{done:#?}");
}

#[test]
fn slugignore_keeps_files_out_of_the_slug_but_not_out_of_the_build() {
    let world = World::new();
    world.file("workspace/source/.slugignore", "*.psd\n/docs\n!negated\n");
    world.file("workspace/source/art/logo.psd", "x");
    world.file("workspace/source/docs/a.md", "x");
    world.file("workspace/source/.git/config", "x");
    world.program("buildpacks/10-any/bin/compile", "test -f \"$1/art/logo.psd\"");

    let done = world.build().good();

    assert_eq!(world.layer(), ["app/.release", "app/.slugignore", "app/hello.txt"]);
    assert!(done.out.contains("`!negated` is without effect"));
}

#[test]
fn the_same_source_gives_the_same_layer() {
    let layers: Vec<_> = (0..2)
        .map(|_| {
            let world = World::new();
            world.program(
                "buildpacks/10-any/bin/compile",
                "mkdir $1/made; date +%N > /dev/null; echo x > $1/made/x",
            );
            world.build().good();
            fs::read(world.path("workspace/out/layer.tar")).expect("layer")
        })
        .collect();

    assert!(layers[0] == layers[1]);
}

#[test]
fn a_slug_over_the_bound_is_refused() {
    let world = World::new();
    world.file("workspace/source/large.bin", &"x".repeat(5000));

    let done = world.build_command().env("DEIS_SLUG_BYTES_MAX", "4096").output().expect("slug starts");

    let err = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(65));
    assert!(err.contains("the slug is 4.9K, more than 4.0K"), "{err}");
}

#[test]
fn several_packs_have_their_turns_and_later_ones_see_exports() {
    let world = World::new();
    world.program("buildpacks/20-second/bin/detect", "exit 1");
    world.program("buildpacks/20-second/bin/compile", "echo \"first made $MADE\"");
    world.program("buildpacks/20-second/bin/release", "printf 'default_process_types:\\n  web: second\\n'");
    world.program("packs/bin/compile", "echo 'export MADE=bread' > \"$(dirname \"$0\")/../export\"");
    world.program("packs/bin/release", "printf 'default_process_types:\\n  web: first\\n'");
    let url = world.repository("packs");
    world.file("workspace/source/.buildpacks", &format!("# two\n{url}\nsecond\n"));
    world.program("workspace/source/bin/post-compile", "echo \"post sees $MADE\"");

    let done = world.build().good();

    assert!(done.has_line("       first made bread"), "{done:#?}");
    assert!(done.has_line("       post sees bread"));
    assert_eq!(world.result()["process_types"], serde_json::json!({"web": "second"}));
    assert_eq!(world.result()["buildpack"], "packs, second");
}

#[test]
fn without_a_kept_cache_packs_still_get_a_folder() {
    let world = World::new();
    world.program("buildpacks/10-any/bin/compile", "touch \"$2/x\"");

    let done = world.build().good();

    assert!(!done.out.contains("cache"), "{done:#?}");
}

#[test]
fn disabling_the_cache_leaves_the_kept_one_alone() {
    let world = World::new();
    fs::create_dir_all(world.path("workspace/cache")).expect("cache");
    world.file("workspace/env/DEIS_DISABLE_CACHE", "1");
    world.program("buildpacks/10-any/bin/compile", "touch \"$2/x\"");

    world.build().good();

    assert!(!world.path("workspace/cache/x").exists());
}

#[test]
fn a_daemon_that_a_step_leaves_behind_does_not_hold_up_the_build() {
    let world = World::new();
    world.program("buildpacks/10-any/bin/compile", "sleep 60 & echo $! > $1/pid; echo started");

    let done = world.build().good();

    assert!(done.has_line("       started"));
    let pid = fs::read_to_string(world.path("tmp/build/pid")).expect("pid");
    std::process::Command::new("kill").arg(pid.trim()).status().expect("kill starts");
}

#[test]
fn the_ssh_key_reaches_gits_client_and_not_the_slug() {
    let world = World::new();
    world.file("workspace/env/SSH_KEY", "dGhlIGtleQ==");
    world.program("buildpacks/10-any/bin/compile", "echo \"git by $GIT_SSH_COMMAND\"");

    let done = world.build().good();

    let key = world.path("app/.ssh/id_rsa");
    assert_eq!(fs::metadata(&key).expect("key").mode() & 0o777, 0o400);
    assert!(done.out.contains("git by ssh -F"), "{done:#?}");
    assert_eq!(world.layer(), ["app/.release", "app/hello.txt"]);
}
