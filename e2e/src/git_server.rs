//! A repository behind git's own server, where builds can reach it.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::{User, wait_until_blocking};

/// A bare copy of a repository, served until this ends.
pub struct GitServer {
    pub url: String,
    process: Child,
}

impl Drop for GitServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl GitServer {
    pub fn start(user: &User<'_>, repository: &Path) -> Self {
        let base = repository.with_file_name("served");
        std::fs::create_dir_all(&base).expect("a folder");
        let bare = base.join("pack.git");
        user.run(
            "git",
            &[
                "clone",
                "--quiet",
                "--bare",
                repository.to_str().expect("UTF-8"),
                bare.to_str().expect("UTF-8"),
            ],
        )
        .ok();
        let (address, port) = (network_address(), testkit::free_port());
        // Not by `git daemon`: when killed, it leaves its child, the server, running.
        let programs = user.run("git", &["--exec-path"]).ok().stdout;
        let process = Command::new(Path::new(programs.trim()).join("git-daemon"))
            .args(["--export-all", "--reuseaddr", "--informative-errors"])
            .args([format!("--listen={address}"), format!("--port={port}")])
            .arg(format!("--base-path={}", base.display()))
            .arg(&base)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("git-daemon starts");
        wait_until_blocking("git daemon listens", Duration::from_secs(10), || {
            std::net::TcpStream::connect((address.as_str(), port)).ok()
        });
        Self { url: format!("git://{address}:{port}/pack.git"), process }
    }
}

/// The address at which builds reach this machine, which is not the loopback one.
pub(crate) fn network_address() -> String {
    let output = Command::new("hostname").arg("--all-ip-addresses").output().expect("hostname runs");
    let addresses = String::from_utf8_lossy(&output.stdout);
    addresses.split_whitespace().next().expect("this machine has an address").to_owned()
}
