//! Schemathesis, which makes requests from a description of an API: installed in the cache with everything that it
//! needs, each at one version, so that the same seed makes the same requests.

use std::path::PathBuf;
use std::process::Command;

use sha2::{Digest as _, Sha256};

use crate::{packages, paths, progress};

/// Versions of schemathesis and of its dependencies.
const REQUIREMENTS: &str = include_str!("requirements.txt");

/// Checks that apply to this API. Left out are those that contradict docs/spec/api.md 1.4, 1.5 and 4.10: that unknown
/// fields, numbers in texts and odd page numbers are refused; that everything else is accepted; that a 404 never
/// refers to the body, as it does for an unknown process type.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
    response_headers_conformance,response_schema_conformance,unsupported_method,allow_header_conformance,\
    use_after_free,ignored_auth";

/// Time in addition to the limit: for the start, and for the last request.
const SLACK_SECONDS: u64 = 150;

/// One run against a platform.
#[derive(Debug)]
pub struct Round<'a> {
    pub seconds: u64,
    pub seed: u64,
    /// Schemathesis's settings file.
    pub config: PathBuf,
    pub port: u16,
    /// Phases, filters.
    pub arguments: &'a [&'a str],
}

/// Installs it unless it is there; returns its folder.
pub fn install() -> anyhow::Result<PathBuf> {
    let stamp = hex::encode(&Sha256::digest(REQUIREMENTS)[..4]);
    let folder = paths::cache().join(format!("schemathesis-{stamp}"));
    if folder.join("bin/schemathesis").is_file() {
        return Ok(folder);
    }
    packages::ensure(&[packages::PIP])?;
    progress::step(&format!("Install schemathesis into {}", folder.display()), || {
        let unfinished = folder.with_extension("new");
        let _ = std::fs::remove_dir_all(&unfinished);
        std::fs::create_dir_all(&unfinished)?;
        let list = unfinished.join("requirements.txt");
        std::fs::write(&list, REQUIREMENTS)?;
        let install = ["-m", "pip", "install", "--quiet", "--no-cache-dir", "--root-user-action=ignore"];
        let mut pip = Command::new("python3");
        progress::run(pip.args(install).arg("--target").arg(&unfinished).arg("--requirement").arg(list))?;
        Ok(std::fs::rename(&unfinished, &folder)?)
    })?;
    Ok(folder)
}

impl Round<'_> {
    /// A command that runs it; it fails when a check fails, or when it hangs.
    pub fn command(&self, installed: &std::path::Path) -> Command {
        let mut command = Command::new("timeout");
        command.arg("--kill-after=10").arg((self.seconds + SLACK_SECONDS).to_string()).arg("python3");
        command.arg(installed.join("bin/schemathesis")).env("PYTHONPATH", installed);
        command.arg("--config-file").arg(&self.config);
        command.arg("run").arg(format!("http://127.0.0.1:{}/v2/openapi.json", self.port));
        command.args(["--checks", CHECKS, "--no-color", "--continue-on-failure"]);
        command.args(["--seed", &self.seed.to_string(), "--generation-database", "none"]);
        command.args(["--max-time", &self.seconds.to_string(), "--request-timeout", "60"]);
        command.args(self.arguments);
        command
    }
}
