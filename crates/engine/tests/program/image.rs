//! The image of the conformance suite: one static program, compiled once for all tests.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use domain::Digest;

/// The image's only layer: the program as `/app`, which is its shell too.
pub fn layer() -> Vec<u8> {
    let program = std::fs::read(program()).expect("it was compiled");
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o755);
    header.set_size(program.len() as u64);
    archive.append_data(&mut header, "app", &program[..]).expect("memory takes it");
    let mut link = tar::Header::new_gnu();
    link.set_entry_type(tar::EntryType::Symlink);
    link.set_size(0);
    archive.append_link(&mut link, "bin/sh", "/app").expect("memory takes it");
    archive.into_inner().expect("memory takes it")
}

/// The program, kept while its source is the same.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../engine/tests/program/app.rs");
        let digest = Digest::of(&std::fs::read(source).expect("the source is there"));
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let program = folder.join(format!("conformance-app-{}", &digest.hex()[..16]));
        if !program.exists() {
            // Renamed when it is whole: other test processes may be looking for it.
            let unfinished = folder.join(format!("conformance-app-{}", std::process::id()));
            compile(source, &unfinished);
            std::fs::rename(unfinished, &program).expect("one folder");
        }
        program
    })
}

fn compile(source: &str, to: &Path) {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let status = Command::new(rustc)
        .args(["--edition", "2024", "-O", "-C", "target-feature=+crt-static", "-C", "strip=symbols"])
        .args(["-C", "panic=abort", source, "-o"])
        .arg(to)
        .status();
    assert!(status.expect("rustc can be run").success(), "{source} does not compile");
}
