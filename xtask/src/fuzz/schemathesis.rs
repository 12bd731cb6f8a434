//! Schemathesis, which makes requests from a description of an API: installed in the cache with all that it
//! needs, each at one version, so that the same seed makes the same requests.

use std::path::PathBuf;
use std::process::Command;

use sha2::{Digest as _, Sha256};

use crate::{packages, paths, progress};

/// Versions of schemathesis and of what it stands on.
const REQUIREMENTS: &str = include_str!("requirements.txt");

/// Checks whose promise is ours. Left out are those that ask for what api.md does not: that unknown fields, numbers
/// in texts and odd page numbers are refused; that all else is taken; that 404 never speaks of what the body names, as
/// it does of a process type that is to be scaled.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
    response_headers_conformance,response_schema_conformance,unsupported_method,allow_header_conformance,\
    use_after_free,ignored_auth";

/// How long it may take beyond its time: to begin, and to end the request that it waits for.
const SLACK_SECONDS: u64 = 150;

/// One run against a platform.
#[derive(Debug)]
pub struct Round<'a> {
    pub seconds: u64,
    pub seed: u64,
    /// Settings in schemathesis's own file.
    pub config: PathBuf,
    pub port: u16,
    /// Phases, filters.
    pub arguments: &'a [&'a str],
}

/// Installs it unless it is there; gives back its folder.
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
    /// A command that runs it; fails when something was found, or when it hangs.
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
