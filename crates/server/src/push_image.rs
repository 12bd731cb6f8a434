//! `workflow push-image`: brings an image from an archive into the managed registry.
//!
//! For clusters that reach no other registry: run in the registry's pod it needs no key but the one there.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use engine_kubernetes::{ImageRegistrySettings, RegistryAccess, RegistryKey};
use oci::{Access, Transport, push_archive};

use crate::process;
use crate::settings::key_in;

/// Bring an image from an archive into the managed registry.
#[derive(Debug, Clone, clap::Args)]
pub struct PushImage {
    /// Name in the registry, such as `deis/stack:latest`.
    name: String,

    /// OCI or Docker archive [default: what comes on standard input].
    #[arg(long)]
    archive: Option<PathBuf>,

    /// Address of the registry.
    #[arg(long, env = "WORKFLOW_REGISTRY_URL", default_value = "http://127.0.0.1:5000")]
    registry_url: String,

    /// File with the key of the managed registry.
    #[arg(long, env = "WORKFLOW_REGISTRY_KEY_FILE")]
    registry_key_file: PathBuf,
}

impl PushImage {
    pub fn check(&self) -> anyhow::Result<()> {
        let (repository, tag) = self.parts();
        ensure!(!repository.is_empty() && !tag.is_empty(), "`{}`: expected name:tag", self.name);
        key_in("--registry-key-file", &self.registry_key_file).map(drop)
    }

    pub fn run(&self) -> anyhow::Result<()> {
        let (repository, tag) = self.parts();
        let key = key_in("--registry-key-file", &self.registry_key_file)?;
        let settings = ImageRegistrySettings {
            node_host: String::new(),
            push_url: self.registry_url.trim_end_matches('/').to_owned(),
            access: RegistryAccess::Managed { key: RegistryKey(key) },
            keeps_copies: true,
            insecure_hosts: Vec::new(),
            outbound: Default::default(),
        };
        let mut given = None;
        let path = match &self.archive {
            Some(path) => path.clone(),
            None => given.insert(standard_input()?).path().to_owned(),
        };
        process::run(async {
            let to = settings.repository(&Transport::new(), repository, Access::Push);
            let digest = push_archive(&path, &to, tag).await?;
            println!("{}@{digest}", self.name);
            Ok(())
        })
    }

    fn parts(&self) -> (&str, &str) {
        self.name.rsplit_once(':').unwrap_or((&self.name, "latest"))
    }
}

/// An archive is read in no order, so it has to be a file.
fn standard_input() -> anyhow::Result<tempfile::NamedTempFile> {
    let mut file = tempfile::NamedTempFile::new().context("cannot make a temporary file")?;
    std::io::copy(&mut std::io::stdin().lock(), &mut file).context("cannot keep standard input")?;
    file.flush().context("cannot keep standard input")?;
    Ok(file)
}
