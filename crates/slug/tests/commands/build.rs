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
        echo "-----> Painting"; echo "in $(cat "$3/COLOR"), $COLOR"; echo "oops" >&2
        [ "$PWD" = "$1" ] && [ -d "$1/.profile.d" ] && [ -n "$REQUEST_ID$STACK$APP_DIR" ] && [ "$HOME" = "$APP_DIR" ]
        echo kept > "$2/file"; cp "$1/hello.txt" "$1/copy.txt""#;
    world.program("buildpacks/10-any/bin/compile", pack);

    let done = world.build().good();

    assert!(done.has_line("-----> Any app detected"), "{done:#?}");
    assert!(done.has_line("-----> Painting"));
    assert!(done.has_line("       in teal, teal"));
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
    assert!(!done.out.contains("Default process types"), "{done:#?}");
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

/// A stack that has nothing for the source but the pack that takes any Procfile.
fn with_procfile_pack(procfile: &str) -> World {
    let world = World::new();
    world.program("buildpacks/10-any/bin/detect", "exit 1");
    world.program("buildpacks/90-procfile/bin/detect", "test -f \"$1/Procfile\" && echo Procfile");
    world.program("buildpacks/90-procfile/bin/compile", "true");
    world.file("workspace/source/Procfile", procfile);
    world
}

#[test]
fn a_procfile_whose_program_nobody_has_fails_before_the_release_and_names_the_file_seen() {
    let help = "set BUILDPACK_URL to the buildpack of its language, or push a Dockerfile";
    for (manifest, procfile, told) in [
        (
            "Gemfile",
            "worker: echo x\nweb: bundel-x exec puma\n",
            "process type web starts `bundel-x`, which the stack does not have. No pack of the stack fits the source \
             (Gemfile is there: Ruby)",
        ),
        (
            "composer.json",
            "web: vendor/bin/serve\n",
            "starts `vendor/bin/serve`, which is not there. No pack of",
        ),
        (
            "pom.xml",
            "web: bin/odd\n",
            "starts `bin/odd`, a script for `jaava`, which the stack does not have. No pack of",
        ),
        (
            "notes.txt",
            "web: cd x && jaava -jar y\n",
            "which the stack does not have. No pack of the stack fits the source: set",
        ),
    ] {
        let world = with_procfile_pack(procfile);
        world.file(&format!("workspace/source/{manifest}"), "x");
        world.file("workspace/source/bin/odd", "#!/usr/bin/env jaava\n");

        let done = world.build();

        assert_eq!(done.code, 1, "{done:#?}");
        assert!(done.err.contains(told) && done.err.contains(help), "{done:#?}");
        assert!(!world.path("workspace/out/result.json").exists());
    }
}

#[test]
fn a_procfile_is_taken_where_its_programs_are_there_or_nobody_can_tell() {
    for procfile in
        ["web: bash -c 'jaava x'", "web: $PROGRAM", "web: while jaava; do x; done", "web: ./serve && echo x"]
    {
        let world = with_procfile_pack(procfile);
        world.program("workspace/source/serve", "true");
        world.build().good();
    }
    // Anything may come with a script that is sourced before, or with a pack that was asked for.
    let world = with_procfile_pack("web: jaava x\n");
    world.file("workspace/source/.profile.d/path.sh", "PATH=$PATH:/app/jdk/bin\n");
    world.build().good();
    let world = with_procfile_pack("web: jaava x\n");
    world.file("workspace/env/BUILDPACK_URL", "procfile");
    world.build().good();
}

#[test]
fn a_source_that_no_pack_fits_is_refused_with_the_file_that_tells_its_language() {
    let world = World::new();
    world.program("buildpacks/10-any/bin/detect", "exit 1");
    world.file("workspace/source/pom.xml", "x");

    let done = world.build();

    assert!(
        done.err.contains("none of any fits the source (pom.xml is there: Java), add a Procfile"),
        "{done:#?}"
    );
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
fn hooks_as_heroku_spells_them_run_too_executable_or_not() {
    let world = World::new();
    world.file("workspace/source/bin/pre_compile", "#!/usr/bin/env bash\necho pre\n");
    world.file("workspace/source/bin/post_compile", "#!/usr/bin/env bash\necho post\n");

    let done = world.build().good();

    assert!(done.has_line("-----> Running bin/pre_compile hook") && done.has_line("       pre"), "{done:#?}");
    assert!(
        done.has_line("-----> Running bin/post_compile hook") && done.has_line("       post"),
        "{done:#?}"
    );
}

#[test]
fn slugignore_concerns_what_was_pushed_and_not_what_packs_install() {
    let world = World::new();
    world.file("workspace/source/.slugignore", "\u{feff}*.psd\r\n/docs\nsrc\n!negated\n");
    for name in ["art/logo.psd", "docs/a.md", "src/app.ts", ".git/config"] {
        world.file(&format!("workspace/source/{name}"), "x");
    }
    let pack =
        "cd $1; ! ls src docs art/logo.psd 2>&-; mkdir -p packages/one/src; touch packages/one/src/index.js";
    world.program("buildpacks/10-any/bin/compile", pack);

    let done = world.build().good();

    assert_eq!(
        world.layer(),
        ["app/.release", "app/.slugignore", "app/hello.txt", "app/packages/one/src/index.js"]
    );
    assert!(done.out.contains("`!negated` is without effect"));
}

#[test]
fn config_is_in_the_environment_of_what_builds_but_for_what_a_build_sets_itself() {
    let world = World::new();
    world.file("workspace/env/COLOR", "teal\nand more");
    world.file("workspace/env/PATH", "/nowhere");
    world.file("workspace/env/GIT_SSH_COMMAND", "false");
    world.file("workspace/env/NOT-A-NAME", "x");
    let tell = "echo \"$COLOR, ${GIT_SSH_COMMAND:-none}, $(env | grep -c NOT-A-NAME)\"; ls / >/dev/null";
    world.program("workspace/source/bin/pre-compile", tell);

    let done = world.build().good();

    assert!(done.out.contains("teal\n       and more, none, 0\n"), "{done:#?}");
    assert!(!world.layer().iter().any(|name| name.contains("env")), "{:?}", world.layer());
}

#[test]
fn a_procfile_of_comments_declares_nothing_and_the_defaults_count() {
    let world = World::new();
    world.file("workspace/source/Procfile", "# web: later\n");
    world.program("buildpacks/10-any/bin/release", "printf 'default_process_types:\\n  web: default\\n'");

    let done = world.build().good();

    assert!(done.has_line("       Default process types for Any -> web"), "{done:#?}");
    assert!(!done.out.contains("no process types"), "{done:#?}");
    assert_eq!(world.result()["process_types"], serde_json::json!({"web": "default"}));
}

#[test]
fn a_list_of_packs_that_cannot_be_read_is_refused_by_name() {
    let world = World::new();
    world.file("workspace/source/.buildpacks", "\u{feff}any\r\n");
    assert!(world.build().good().has_line("-----> Multipack app detected"));

    std::fs::write(world.path("workspace/source/.buildpacks"), b"\xff\xfea\0n\0y\0").expect("written");
    let done = world.build();

    assert_eq!(done.code, 65, "{done:#?}");
    assert!(done.err.contains(".buildpacks is UTF-16"), "{done:#?}");
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

#[test]
fn packs_of_the_stack_stand_in_the_order_in_which_the_platform_detects_them() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../buildpacks");
    let entries = std::fs::read_dir(folder).expect("the packs").map(|entry| entry.expect("an entry").path());
    let mut folders: Vec<_> = entries.filter(|path| path.join("bin/compile").is_file()).collect();
    folders.sort();
    let names: Vec<_> = folders
        .iter()
        .map(|path| {
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            name.split_once('-').expect("a number in front").1.to_owned()
        })
        .collect();

    let rules: Vec<_> = source::packs::PACKS.iter().map(|pack| pack.name).collect();
    let known: Vec<_> = rules.iter().filter(|name| names.iter().any(|found| found == *name)).collect();
    assert_eq!(names.iter().collect::<Vec<_>>(), known);
}

#[test]
fn a_pack_of_the_stack_fits_by_the_platforms_rules_and_the_push_names_another_that_would_fit() {
    let world = World::new();
    std::fs::remove_dir_all(world.path("buildpacks/10-any")).expect("it is removed");
    for pack in ["20-nodejs", "30-python", "90-procfile"] {
        world.program(&format!("buildpacks/{pack}/bin/compile"), "true");
    }
    world.file("workspace/source/package.json", "{}");
    world.file("workspace/source/pyproject.toml", "[project]\nname = \"x\"\n");
    world.file("workspace/source/Procfile", "web: true\n");

    let node = world.build().good();
    world.file("workspace/source/package.json", "{}");
    world.file("workspace/source/pyproject.toml", "[project]\nname = \"x\"\n");
    world.file("workspace/env/BUILDPACK_URL", "python");
    let python = world.build().good();

    assert!(node.has_line("-----> Node.js app detected"), "{node:#?}");
    assert!(
        node.has_line(
            "       pyproject.toml is there too: if this is a Python app, run `deis config:set BUILDPACK_URL=python` and push \
             again"
        ),
        "{node:#?}"
    );
    assert!(python.has_line("-----> Python app detected"), "{python:#?}");
    assert!(!python.out.contains("is there too"), "{python:#?}");
}
