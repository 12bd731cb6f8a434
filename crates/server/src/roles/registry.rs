//! `workflow registry`: the managed registry, CNCF Distribution with tokens for it on one port.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use domain::registry_access::AccessKey;
use registry::{CollectSettings, FrontSettings, RegistrySettings, Storage};

use super::{RoleSettings, cancelled_by, everywhere};
use crate::health;
use crate::process::{self, Process};
use crate::settings::key_in;

/// Longer than from one blob of an image to the next.
const QUIET_BEFORE_COLLECTING: Duration = Duration::from_secs(60);

/// Keeps the images of apps; each app's credential reads that app's images only.
#[derive(Debug, Clone, clap::Args)]
pub struct RegistryRole {
    /// Address and port of HTTP.
    #[arg(long, env = "WORKFLOW_REGISTRY_LISTEN", default_value_t = everywhere(5000))]
    listen: SocketAddr,

    /// File with the key that all credentials are derived from.
    #[arg(long, env = "WORKFLOW_REGISTRY_KEY_FILE")]
    registry_key_file: PathBuf,

    /// Storage of images: `filesystem`, `s3`, `gcs` or `azure`.
    #[arg(long, env = "WORKFLOW_REGISTRY_STORAGE", default_value = "filesystem")]
    storage: String,

    /// File with the storage's parameters, a JSON object as below `storage.<driver>` of Distribution's config
    /// [default for filesystem: a folder in the data folder].
    #[arg(long, env = "WORKFLOW_REGISTRY_STORAGE_FILE")]
    storage_file: Option<PathBuf>,

    /// Folder for images kept as files.
    #[arg(long, env = "WORKFLOW_DATA_DIR", default_value = "/var/lib/workflow")]
    data_dir: PathBuf,

    /// Folder that Distribution's config is written to at each start.
    #[arg(long, env = "WORKFLOW_REGISTRY_CONFIG_DIR", default_value = "/tmp/registry")]
    config_dir: PathBuf,

    /// The program of CNCF Distribution 3.
    #[arg(long, env = "WORKFLOW_REGISTRY_PROGRAM", default_value = "/usr/local/bin/registry")]
    program: PathBuf,

    /// Port of Distribution itself, on loopback.
    #[arg(long, env = "WORKFLOW_REGISTRY_INNER_PORT", default_value_t = 5001)]
    inner_port: u16,

    /// Hours from one removal of what no image uses any more to the next; 0: never. Only where images are files.
    #[arg(long, env = "WORKFLOW_REGISTRY_COLLECT_HOURS", default_value_t = 24)]
    collect_hours: u32,

    #[command(flatten)]
    role: RoleSettings,
}

impl RegistryRole {
    pub fn check(&self) -> anyhow::Result<()> {
        self.settings().map(drop)
    }

    pub fn run(&self) -> anyhow::Result<()> {
        process::run(self.serve())
    }

    async fn serve(&self) -> anyhow::Result<()> {
        let mut process = Process::new()?;
        let listener = process::bind("--listen", self.listen).await?;
        let (settings, stop) = (self.settings()?, cancelled_by(process.stopping()));
        process.add("registry", async move { registry::run(&settings, listener, stop).await });
        let inner = SocketAddr::from(([127, 0, 0, 1], self.inner_port));
        let ready = health::check(move || async move {
            let connected = tokio::net::TcpStream::connect(inner).await;
            connected.map(drop).map_err(|error| format!("Distribution does not answer: {error}"))
        });
        self.role.add_health(&mut process, ready).await?;
        tracing::info!("keeping images on {}", self.listen);
        process.run(self.role.stop_timeout()).await
    }

    fn settings(&self) -> anyhow::Result<RegistrySettings> {
        Ok(RegistrySettings {
            key: AccessKey::new(key_in("--registry-key-file", &self.registry_key_file)?),
            program: self.program.clone(),
            folder: self.config_dir.clone(),
            storage: self.storage()?,
            distribution_port: self.inner_port,
            front: FrontSettings { drain: self.role.drain_timeout(), ..FrontSettings::default() },
            collect: self.collect(),
        })
    }

    fn collect(&self) -> Option<CollectSettings> {
        let every = Duration::from_secs(u64::from(self.collect_hours) * 3_600);
        let is_wanted = self.storage == "filesystem" && !every.is_zero();
        is_wanted.then_some(CollectSettings { every, quiet: QUIET_BEFORE_COLLECTING })
    }

    fn storage(&self) -> anyhow::Result<Storage> {
        match &self.storage_file {
            Some(file) => {
                let parameters = std::fs::read_to_string(file)
                    .with_context(|| format!("--storage-file {}", file.display()))?;
                Ok(Storage::parse(&self.storage, &parameters)?)
            }
            None if self.storage == "filesystem" => Ok(Storage::folder(&images(&self.data_dir))),
            None => Ok(Storage::parse(&self.storage, "")?),
        }
    }
}

fn images(data_dir: &Path) -> String {
    data_dir.join("registry").display().to_string()
}
