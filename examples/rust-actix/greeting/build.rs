//! Passes the version of the compiler on to the program.

use std::process::Command;

fn main() {
    let rustc = std::env::var("RUSTC").expect("cargo names the compiler");
    let version = Command::new(rustc).arg("--version").output().expect("it starts");
    let version = String::from_utf8_lossy(&version.stdout);
    println!("cargo::rustc-env=RUST_VERSION={}", version.split(' ').nth(1).unwrap_or_default());
    println!("cargo::rerun-if-changed=build.rs");
}
