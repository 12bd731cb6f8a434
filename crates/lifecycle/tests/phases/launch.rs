//! Processes of a built app: the launcher on the layers as the build left them.

use std::os::unix::fs::symlink;
use std::process::{Command, Output};

use crate::support::{PROGRAM, World};

/// A built app; the launcher's links as in an image.
fn built(more: &[(&str, &str)]) -> World {
    let world = World::new();
    for (name, content) in more {
        world.write(name, content);
    }
    world.build("out", &[]);
    let program = world.path("bin/launcher");
    std::fs::create_dir_all(world.path("bin")).expect("a folder");
    std::fs::copy(PROGRAM, &program).expect("the launcher");
    for process_type in ["web", "worker", "old", "builder"] {
        symlink(&program, world.path(&format!("bin/{process_type}"))).expect("a link");
    }
    world
}

fn start(world: &World, called: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(world.path(&format!("bin/{called}")));
    command
        .args(arguments)
        .env("CNB_LAYERS_DIR", world.path("layers"))
        .env("CNB_APP_DIR", world.path("workspace"));
    command.output().expect("the launcher runs")
}

fn printed(world: &World, called: &str, arguments: &[&str]) -> String {
    let output = start(world, called, arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_process_type_starts_with_its_default_arguments_or_with_given_ones() {
    let world = built(&[]);

    assert_eq!(printed(&world, "worker", &[]), "runtime 1.2: worker default\n");
    assert_eq!(printed(&world, "worker", &["other", "a b"]), "runtime 1.2: worker other a b\n");
}

#[test]
fn variables_of_layers_and_of_exec_d_are_set() {
    let world = built(&[]);

    let seen = printed(&world, "launcher", &["--", "env"]);

    assert!(seen.contains("RUNTIME_VERSION=1.2") && seen.contains("FROM_EXEC_D=1.2"), "{seen}");
    assert!(!seen.contains("KIND=") && !seen.contains("CNB_LAYERS_DIR"), "{seen}");
}

#[test]
fn commands_of_users_run_in_a_shell_or_directly() {
    let world = built(&[]);

    assert_eq!(printed(&world, "launcher", &["echo $RUNTIME_VERSION | tr . -"]), "1-2\n");
    assert_eq!(printed(&world, "launcher", &["--", "echo", "$RUNTIME_VERSION"]), "$RUNTIME_VERSION\n");
    assert_eq!(printed(&world, "launcher", &["echo", "$RUNTIME_VERSION", "a b"]), "1.2 a b\n");
}

#[test]
fn processes_of_old_buildpacks_are_lines_of_a_shell_with_profiles() {
    let world = built(&[("workspace/old", "")]);

    assert_eq!(printed(&world, "old", &[]), "profile in workspace\n");
}

#[test]
fn a_process_type_may_have_the_name_of_a_phase() {
    let world = built(&[]);

    // No process type `builder` is defined, so the words are a command; the phase would refuse them.
    assert_eq!(printed(&world, "builder", &["--", "echo", "launched"]), "launched\n");
}

#[test]
fn a_program_that_is_not_there_is_exit_code_82() {
    let world = built(&[]);

    let output = start(&world, "launcher", &["--", "no-such-program"]);

    assert_eq!(output.status.code(), Some(82));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no-such-program"));
}

#[test]
fn the_exit_code_is_that_of_the_process() {
    let world = built(&[]);

    assert_eq!(start(&world, "launcher", &["exit 7"]).status.code(), Some(7));
}
