//! `workflow builder`: git over SSH, and builds as jobs of the cluster.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::ensure;
use builder::BuilderSettings;
use engine::log_queue::LogQueue;
use engine_kubernetes::{KubernetesBundles, KubernetesJobs};

use super::{RoleSettings, everywhere, git_hook_command};
use crate::health;
use crate::process::{self, Process};
use crate::settings::{BuildSettings, ClusterSettings, LinesSettings, check_domain, key_in};

/// Accepted bounds of the build caches of all apps: 64 MiB to 1 PiB.
const CACHES_MIB: RangeInclusive<u64> = 64..=1 << 30;

/// Takes pushes over SSH, has them built and released.
#[derive(Debug, Clone, clap::Args)]
pub struct BuilderRole {
    /// Platform domain: apps answer at `<app>.<domain>`.
    #[arg(long, env = "WORKFLOW_DOMAIN")]
    domain: String,

    /// Folder for repositories.
    #[arg(long, env = "WORKFLOW_DATA_DIR", default_value = "/var/lib/workflow")]
    data_dir: PathBuf,

    /// Address and port of SSH.
    #[arg(long, env = "WORKFLOW_SSH_LISTEN", default_value_t = everywhere(2222))]
    ssh_listen: SocketAddr,

    /// Folder with the host keys `ssh-host-{ed25519,ecdsa}-key` [default: made in the data folder].
    #[arg(long, env = "WORKFLOW_HOST_KEYS_DIR")]
    host_keys_dir: Option<PathBuf>,

    /// The controller's internal address, for hooks.
    #[arg(long, env = "WORKFLOW_HOOKS_URL", default_value = "http://deis-controller-hooks")]
    hooks_url: String,

    /// File with the key that the controller knows the builder by.
    #[arg(long, env = "WORKFLOW_BUILDER_KEY_FILE")]
    builder_key_file: PathBuf,

    /// Build caches of all apps in the registry, in MiB; those that were not used for the longest time go first.
    #[arg(long, env = "WORKFLOW_BUILD_CACHES_SIZE_MAX", default_value_t = 102_400)]
    build_caches_size_max: u64,

    /// Most build caches in the registry.
    #[arg(long, env = "WORKFLOW_BUILD_CACHES_MAX", default_value_t = 1_000)]
    build_caches_max: usize,

    #[command(flatten)]
    lines: LinesSettings,

    #[command(flatten)]
    build: BuildSettings,

    #[command(flatten)]
    cluster: ClusterSettings,

    #[command(flatten)]
    role: RoleSettings,
}

impl BuilderRole {
    pub fn check(&self) -> anyhow::Result<()> {
        check_domain(&self.domain)?;
        self.lines.client()?;
        self.build.check()?;
        let (mib, range) = (self.build_caches_size_max, CACHES_MIB);
        ensure!(
            range.contains(&mib),
            "--build-caches-size-max {mib}: expected {} to {} MiB",
            range.start(),
            range.end()
        );
        ensure!(self.build_caches_max > 0, "--build-caches-max 0: expected at least 1");
        self.cluster.check()?;
        if let Some(folder) = &self.host_keys_dir {
            ensure!(folder.is_dir(), "--host-keys-dir {}: expected a folder", folder.display());
        }
        self.settings().map(drop)
    }

    pub fn run(&self) -> anyhow::Result<()> {
        process::run(self.serve())
    }

    async fn serve(&self) -> anyhow::Result<()> {
        let mut process = Process::new()?;
        let client = engine_kubernetes::connect().await?;
        let mut settings = self.cluster.engine(&self.domain, &self.build)?;
        settings.build_caches.all_bytes_max = self.build_caches_size_max << 20;
        settings.build_caches.count_max = self.build_caches_max;
        let bundles = KubernetesBundles::new(settings.registry.clone());
        let jobs = KubernetesJobs::new(client, settings, self.cluster.pod_name.clone());
        let left = jobs.clone();
        tokio::spawn(async move {
            if let Err(error) = left.remove_orphaned_builds().await {
                tracing::warn!(error = &error as &dyn std::error::Error, "builds may be left over");
            }
        });
        let lines = Arc::<LogQueue>::default();
        let publishing = logger::publish(Arc::clone(&lines), self.lines.client()?, process.stopping());
        process.add_plain("log publisher", publishing);
        self.role.add_health(&mut process, health::always()).await?;
        let ssh = process::bind("--ssh-listen", self.ssh_listen).await?;
        tracing::info!("taking pushes on {}", self.ssh_listen);
        process.add(
            "builder",
            builder::run(
                self.settings()?,
                Some(ssh),
                Arc::new(jobs),
                lines,
                Some(Arc::new(bundles)),
                process.stopping(),
            ),
        );
        process.run(self.role.stop_timeout()).await
    }

    fn settings(&self) -> anyhow::Result<BuilderSettings> {
        let key = key_in("--builder-key-file", &self.builder_key_file)?;
        let builder = BuilderSettings::new(&self.data_dir, &self.hooks_url, key, git_hook_command()?);
        Ok(BuilderSettings {
            host_keys_dir: self.host_keys_dir.clone(),
            drain_timeout: self.role.drain_timeout(),
            ..self.build.bounded(builder)
        })
    }
}
