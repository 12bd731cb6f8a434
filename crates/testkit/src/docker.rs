//! The `docker` command, for worlds on a machine's daemon.

use std::io::Write as _;
use std::process::{Command, Stdio};

/// Lines that a `docker` command prints, without empty ones; one that fails prints none.
pub fn docker(arguments: &[&str]) -> Vec<String> {
    let output = Command::new("docker").args(arguments).output().expect("docker can be run");
    let lines = String::from_utf8_lossy(&output.stdout);
    lines.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// Id of the image of that name or id; empty where there is none.
pub fn image_id(name: &str) -> String {
    docker(&["image", "inspect", "--format", "{{.Id}}", name]).concat()
}

/// Makes an image of one layer, without a registry, with these changes of its config; gives back its id.
pub fn import(reference: &str, layer: &[u8], changes: &[&str]) -> String {
    let changes = changes.iter().flat_map(|change| ["--change", change]);
    let mut import = Command::new("docker")
        .arg("import")
        .args(changes)
        .args(["-", reference])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("docker can be run");
    import.stdin.take().expect("piped").write_all(layer).expect("docker reads it");
    let output = import.wait_with_output().expect("docker ends");
    assert!(output.status.success(), "docker import {reference}: {}", output.status);
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
