//! The tested router: `crates/router/examples/strict_edge.rs`, with a certificate of an authority that was
//! made for it.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::{packages, paths, progress};

/// Name in the certificate.
pub const HOST: &str = "edge.test";
const STOP_MAX: Duration = Duration::from_secs(20);

/// A running router; it ends when dropped, and its folder is removed.
pub struct Edge {
    running: Child,
    pub https_port: u16,
    pub folder: PathBuf,
}

impl Edge {
    pub fn start() -> anyhow::Result<Self> {
        packages::ensure(&[packages::OPENSSL])?;
        let program = build()?;
        let folder = paths::target().join("wire");
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        make_certificates(&folder)?;
        let mut command = Command::new(program);
        command.args(["certificate", "key"].map(|file| folder.join(file)));
        let mut running = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start `{}`", progress::shown(&command)))?;
        let mut line = String::new();
        BufReader::new(running.stdout.take().context("it was piped")?).read_line(&mut line)?;
        let ["ready", _, https_port] = line.split_whitespace().collect::<Vec<_>>()[..] else {
            bail!("the router did not come up: {line:?}");
        };
        let https_port = https_port.parse()?;
        Ok(Self { running, https_port, folder })
    }

    /// The certificate of the authority.
    pub fn authority(&self) -> PathBuf {
        self.folder.join("authority")
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        drop(self.running.stdin.take());
        if !progress::wait_until(STOP_MAX, || matches!(self.running.try_wait(), Ok(Some(_)))) {
            let _ = self.running.kill();
            let _ = self.running.wait();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn build() -> anyhow::Result<PathBuf> {
    progress::step("Build the router to be examined", || {
        let build = ["build", "--locked", "--package=router", "--example=strict_edge"];
        let mut cargo = Command::new(paths::cargo());
        progress::run(cargo.current_dir(paths::checkout()).args(build))
    })?;
    Ok(paths::target().join("debug/examples/strict_edge"))
}

/// An authority, and a certificate that it signed.
fn make_certificates(folder: &Path) -> anyhow::Result<()> {
    let new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "90"];
    let mut authority = Command::new("openssl");
    authority.args(["req", "-x509", "-subj", "/CN=Authority for tests"]).args(new_key);
    authority.args(["-keyout", "authority.key", "-out", "authority"]);
    progress::output(authority.current_dir(folder))?;
    let mut own = Command::new("openssl");
    own.args(["req", "-x509", "-CA", "authority", "-CAkey", "authority.key"]).args(new_key);
    own.args(["-subj", &format!("/CN={HOST}"), "-addext", &format!("subjectAltName=DNS:{HOST}")]);
    own.args(["-addext", "basicConstraints=critical,CA:FALSE", "-addext", "extendedKeyUsage=serverAuth"]);
    own.args(["-addext", &format!("crlDistributionPoints=URI:http://{HOST}/crl")]);
    own.args(["-addext", "keyUsage=critical,digitalSignature", "-keyout", "key", "-out", "certificate"]);
    progress::output(own.current_dir(folder)).map(drop)
}
