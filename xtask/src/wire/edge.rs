//! The tested router: `crates/router/examples/strict_edge.rs`, with a certificate of an authority that was
//! made for it.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CrlDistributionPoint, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
};

use crate::{paths, progress};

/// Name in the certificate.
pub const HOST: &str = "edge.test";
const STOP_MAX: Duration = Duration::from_secs(20);
/// Longer ones count as weak.
const VALID_FOR: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// A running router; it ends when dropped, and its folder is removed.
pub struct Edge {
    running: Child,
    pub https_port: u16,
    pub folder: PathBuf,
}

impl Edge {
    pub fn start() -> anyhow::Result<Self> {
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
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "Authority for tests");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    std::fs::write(folder.join("authority"), authority.pem())?;

    let mut params = CertificateParams::new([HOST.to_owned()])?;
    params.not_before = rcgen::date_time_ymd(1970, 1, 1) + UNIX_EPOCH.elapsed()?;
    params.not_after = params.not_before + VALID_FOR;
    params.distinguished_name.push(DnType::CommonName, HOST);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.crl_distribution_points = vec![CrlDistributionPoint { uris: vec![format!("http://{HOST}/crl")] }];
    let key = KeyPair::generate()?;
    std::fs::write(folder.join("certificate"), params.signed_by(&key, &authority)?.pem())?;
    Ok(std::fs::write(folder.join("key"), key.serialize_pem())?)
}
