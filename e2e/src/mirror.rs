//! Mirrors of registries that tests do not reach, on this machine: an index of gems and a repository of Composer. Both speak
//! the registry's own protocol, by files.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::daemon::docker;
use crate::git_server::network_address;
use crate::wait_until_blocking;

/// Writes `Gemfile.lock` with the gems of the mirror, whose versions are Debian's.
const LOCK_GEMS: &str = "BUNDLE_MIRROR__ALL=$URL bundle lock && chmod a+r Gemfile.lock";
/// Writes `composer.lock` with the packages of the mirror.
const LOCK_PACKAGES: &str = "export COMPOSER_HOME=/tmp/composer COMPOSER_ALLOW_SUPERUSER=1 && mkdir $COMPOSER_HOME \
    && echo \"{\\\"config\\\": {\\\"secure-http\\\": false}, \\\"repositories\\\": [{\\\"type\\\": \\\"composer\\\", \\\"url\\\": \\\"$URL\\\"}, \
    {\\\"packagist.org\\\": false}]}\" >$COMPOSER_HOME/config.json \
    && composer update --no-install --no-interaction && chmod a+r composer.lock";

/// A mirror, served until this ends.
pub struct Mirror {
    pub url: String,
    process: Child,
    _folder: TempDir,
}

impl Drop for Mirror {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Mirror {
    /// An index of Sinatra and of what it needs. The source is locked to it.
    pub fn of_gems(source: &Path) -> Self {
        Self::start("ruby", include_str!("../mirrors/gems.sh"), source, LOCK_GEMS)
    }

    /// A repository with one package. The source is locked to it.
    pub fn of_composer(source: &Path) -> Self {
        Self::start("php", include_str!("../mirrors/composer.sh"), source, LOCK_PACKAGES)
    }

    fn start(toolchain: &str, script: &str, source: &Path, lock: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("workflow-mirror-").tempdir().expect("a folder");
        let (address, port) = (network_address(), testkit::free_port());
        let url = format!("http://{address}:{port}");
        run_in_stack(toolchain, &url, folder.path(), "/mirror", script);
        let process = Command::new("python3")
            .args(["-m", "http.server", "--bind", &address, "--directory"])
            .arg(folder.path())
            .arg(port.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("Python's server of files starts");
        let mirror = Self { url, process, _folder: folder };
        wait_until_blocking("the mirror listens", Duration::from_secs(20), || {
            std::net::TcpStream::connect((address.as_str(), port)).ok()
        });
        run_in_stack(toolchain, &mirror.url, source, "/source", &format!("cd /source && {lock}"));
        mirror
    }
}

/// Runs a script of bash in the build image of a toolchain, which has a folder of this machine.
fn run_in_stack(toolchain: &str, url: &str, folder: &Path, place: &str, script: &str) {
    let output = docker(None)
        .args(["run", "--rm", "--network=host", "--user=0", "--env=HOME=/tmp", "--entrypoint=bash"])
        .arg(format!("--env=URL={url}"))
        .arg(format!("--volume={}:{place}", folder.display()))
        .arg(format!("deis/stack:trixie-{toolchain}-build"))
        .args(["-c", script])
        .output()
        .expect("docker runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
