//! `slug run`: environment, look-up of process types, signals.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::World;

#[test]
fn a_process_type_runs_in_the_slug_with_its_profile() {
    let world = World::new();
    world.file("app/Procfile", "web: echo \"$A $B port $PORT in $(basename $PWD)\"; echo done\n");
    world.file("app/.profile.d/10-first.sh", "export A=first B=first\n");
    world.file("app/.profile.d/20-second.sh", "export B=second\n");

    let done = world.run(&["web"]).good();

    assert_eq!(done.out, "first second port 5000 in app\ndone\n");
}

#[test]
fn a_process_has_the_name_that_heroku_would_give_it_unless_the_app_sets_one() {
    let world = World::new();
    world.file("app/Procfile", "worker: echo $DYNO\n");
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").expect("Linux has it");

    assert_eq!(world.run(&["worker"]).good().out, format!("worker.{host}"));
    assert_eq!(world.run(&["--", "echo $DYNO"]).good().out, format!("run.{host}"));
    let own = world.run_command(&["worker"]).env("DYNO", "mine").output().expect("slug starts");
    assert_eq!(String::from_utf8_lossy(&own.stdout), "mine\n");
}

#[test]
fn scripts_of_profile_d_end_in_sh_and_the_apps_own_profile_comes_last() {
    let world = World::new();
    world.file("app/.profile.d/10-first.sh", "export A=first B=first\n");
    world.file("app/.profile.d/README.md", "echo not a script; exit 7\n");
    world.file("app/.profile", "export B=\"$B, own\"\n");

    let done = world.run(&["--", "echo \"$A, $B\""]).good();

    assert_eq!(done.out, "first, first, own\n");
}

#[test]
fn variables_of_the_release_apply_only_where_nobody_set_one() {
    let world = World::new();
    world.file("app/.release", "config_vars:\n  A: pack\n  B: pack's $own\n");

    let done = world.run_command(&["--", "echo", "$A $B"]).env("A", "user").output().expect("slug starts");

    assert_eq!(String::from_utf8_lossy(&done.stdout), "user pack's $own\n");
}

#[test]
fn a_type_is_looked_up_in_the_procfile_and_then_in_the_release() {
    let world = World::new();
    world.file("app/Procfile", "web: echo procfile\n");
    world.file("app/.release", "default_process_types:\n  web: echo release\n  console: echo console\n");

    assert_eq!(world.run(&["web"]).good().out, "procfile\n");
    assert_eq!(world.run(&["console"]).good().out, "console\n");
}

#[test]
fn an_unknown_type_is_an_error_that_lists_the_known_ones() {
    let world = World::new();
    world.file("app/Procfile", "web: x\nworker: y\n");

    let done = world.run(&["wbe"]);

    assert_eq!(done.code, 64);
    assert!(done.err.contains("process type `wbe` is not known, the app has web, worker"), "{done:#?}");
}

#[test]
fn the_exit_code_is_the_commands_own() {
    let world = World::new();

    assert_eq!(world.run(&["--", "exit", "42"]).code, 42);
    assert_eq!(world.run(&["--", "kill -9 $$"]).code, 137);
    assert_eq!(world.run(&["--", "no-such-program"]).code, 127);
}

/// Starts a process and waits for its line `ready`.
fn started(world: &World, command: &str) -> (Child, BufReader<ChildStdout>) {
    until_ready(&mut world.run_command(&["--", command]))
}

fn until_ready(command: &mut Command) -> (Child, BufReader<ChildStdout>) {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("slug starts");
    let mut out = BufReader::new(child.stdout.take().expect("stdout"));
    let mut line = String::new();
    while line != "ready\n" {
        line.clear();
        assert_ne!(out.read_line(&mut line).expect("a line"), 0, "the process ended before it was ready");
    }
    (child, out)
}

/// Sends TERM and returns exit code and output, within a bound.
fn terminated(mut child: Child, out: BufReader<ChildStdout>) -> (i32, String) {
    let pid = nix::unistd::Pid::from_raw(child.id().cast_signed());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).expect("signal");
    let since = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("status") {
            let printed = out.lines().map(|line| line.expect("a line") + "\n").collect();
            return (status.code().unwrap_or(-1), printed);
        }
        if since.elapsed() > Duration::from_secs(10) {
            let _ = child.kill();
            panic!("TERM did not end the process");
        }
        std::thread::yield_now();
    }
}

/// A server that prints when it is ready, and takes a moment to finish after TERM.
const SERVER: &str = "python3 -uc '
import signal, sys, threading
stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
print(\"ready\")
while not stop.wait(0.01): pass
threading.Event().wait(0.1)
print(\"finished\")'";

#[test]
fn term_reaches_a_simple_command() {
    let world = World::new();
    let (child, out) = started(&world, SERVER);

    assert_eq!(terminated(child, out), (0, "finished\n".to_owned()));
}

#[test]
fn term_reaches_the_commands_of_a_compound_line_and_they_finish() {
    let world = World::new();
    world.program("app/start.sh", &format!("{SERVER}\necho not reached"));
    for command in [
        format!("true && {SERVER}; echo not reached"),
        format!("{SERVER} | cat; echo not reached"),
        "./start.sh; echo not reached".to_owned(),
    ] {
        let (child, out) = started(&world, &command);

        let (code, printed) = terminated(child, out);

        assert_eq!((code, printed.as_str()), (143, "finished\n"), "{command}");
    }
}

#[test]
fn term_reaches_a_server_whose_parent_only_stops_its_shell() {
    let world = World::new();
    // As npm does: the program starts a shell, and sends TERM to that shell alone.
    let parent = r#"python3 -c '
import signal, subprocess, sys
shell = subprocess.Popen(["bash", "-c", sys.argv[1] + "; true"])
signal.signal(signal.SIGTERM, lambda *_: shell.terminate())
shell.wait()' "$SERVER""#;
    let mut command = world.run_command(&["--", parent]);
    let (child, out) = until_ready(command.env("SERVER", SERVER));

    assert_eq!(terminated(child, out), (0, "finished\n".to_owned()));
}

#[test]
fn a_shell_that_catches_term_is_left_to_itself() {
    let world = World::new();
    let command = "trap 'echo caught; kill $!; wait; exit 3' TERM; sleep 60 & echo ready; wait";
    let (child, out) = started(&world, command);

    assert_eq!(terminated(child, out), (3, "caught\n".to_owned()));
}
