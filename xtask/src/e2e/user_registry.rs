//! A user's registry beside the cluster: images of users come from there, over plain HTTP and without
//! a login.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use cluster::Cluster;

use crate::images::Image;
use crate::{packages, paths, progress};

/// Longest time until it listens.
const START_MAX: Duration = Duration::from_secs(20);

/// A registry that ends when dropped; pushed images stay for the next one.
pub struct UserRegistry {
    process: Child,
    host: String,
}

impl UserRegistry {
    /// Starts the registry inside the cluster's network.
    pub fn start(cluster: &Cluster, port: u16) -> anyhow::Result<Self> {
        packages::ensure(&[packages::SKOPEO])?;
        let host = format!("{}:{port}", cluster::GATEWAY_ADDRESS);
        let config = write_config(port)?;
        // It ends with this process, also where that is killed: the next registry needs the port.
        let mut command = cluster.command("setpriv")?;
        let process = command
            .args(["--pdeathsig=KILL", "registry", "serve"])
            .arg(config)
            .env("OTEL_TRACES_EXPORTER", "none")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start the user's registry")?;
        let registry = Self { process, host };
        let url = format!("http://{}/v2/", registry.host);
        let answers = || {
            cluster.command("curl").is_ok_and(|mut curl| {
                progress::succeeds(curl.args(["--silent", "--fail", "--max-time", "2", &url]))
            })
        };
        ensure!(progress::wait_until(START_MAX, answers), "the registry at {url} does not answer");
        Ok(registry)
    }

    /// Host and port.
    pub fn host(&self) -> &str {
        &self.host
    }

    pub fn repository(&self, name: &str) -> String {
        format!("{}/deis/{name}", self.host)
    }

    pub fn name(&self, name: &str, tag: &str) -> String {
        format!("{}:{tag}", self.repository(name))
    }

    /// Pushes a saved image.
    pub fn push(&self, cluster: &Cluster, image: &Image, archives: &Path) -> anyhow::Result<()> {
        let archive = image.archive(archives);
        let archive = if archive.is_file() { archive } else { image.save(archives)? };
        progress::step(&format!("Push {}", image.name), || {
            let mut skopeo: Command = cluster.command("skopeo")?;
            skopeo.args(["copy", "--quiet", "--insecure-policy", "--dest-tls-verify=false"]);
            skopeo.arg(format!("oci-archive:{}", archive.display()));
            skopeo.arg(format!("docker://{}", image.name));
            progress::output(&mut skopeo).map(drop)
        })
    }
}

impl Drop for UserRegistry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn write_config(port: u16) -> anyhow::Result<PathBuf> {
    let folder = paths::cache().join("user-registry");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let path = folder.join(format!("config-{port}.yml"));
    let text = format!(
        "version: 0.1\nlog: {{ level: warn }}\nstorage: {{ filesystem: {{ rootdirectory: {} }} }}\n\
         http: {{ addr: 0.0.0.0:{port} }}\n",
        folder.join("storage").display()
    );
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}
