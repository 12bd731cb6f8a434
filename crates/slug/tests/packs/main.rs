//! Functions of the stack's packs that decide without a tool chain, run by bash on sources of a few files.

mod archives;
mod go;
mod java;
mod process_types;
mod ruby_and_rust;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A source, and a pack whose functions look at it.
struct Source {
    dir: tempfile::TempDir,
}

impl Source {
    fn new(files: &[(&str, &str)]) -> Self {
        let source = Self { dir: tempfile::tempdir().expect("temporary folder") };
        for folder in ["env", "cache"] {
            fs::create_dir(source.dir.path().join(folder)).expect("folder");
        }
        for (name, content) in files {
            source.file(&format!("source/{name}"), content);
        }
        fs::create_dir_all(source.dir.path().join("source")).expect("folder");
        source
    }

    fn file(&self, name: &str, content: &str) {
        let path = self.dir.path().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("folder");
        fs::write(path, content).expect("file");
    }

    /// Runs a line of bash in the source, after files of `buildpacks/`; returns its output, and what it said of a failure.
    fn bash(&self, sourced: &[&str], line: &str) -> Result<String, String> {
        let sourced: String =
            sourced.iter().map(|file| format!("source '{}'\n", packs().join(file).display())).collect();
        let dir = self.dir.path().display();
        let script = format!(
            "set -euo pipefail\nBUILD_DIR='{dir}/source' CACHE_DIR='{dir}/cache' ENV_DIR='{dir}/env' PACK_DIR='{dir}' SCRATCH='{dir}'\n\
             {sourced}{line}"
        );
        let output = Command::new("bash")
            .args(["-c", &script])
            .current_dir(self.dir.path().join("source"))
            .output()
            .expect("bash starts");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }
}

fn packs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../buildpacks")
}
