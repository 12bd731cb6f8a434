//! `workflow controller`: the REST API, the builder's hooks, and the deployer.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context as _;
use controller::{Controller, ControllerParts, ControllerSettings, Secret, api_limits, hooks_limits};
use engine::LogSink;
use engine::log_queue::LogQueue;
use engine_kubernetes::{KubernetesEngine, KubernetesImages, KubernetesJobs};
use listener::Network;
use store::Store;

use super::{RoleSettings, add_controller, everywhere};
use crate::files;
use crate::health::{self, Check};
use crate::orphans;
use crate::process::{self, Process};
use crate::settings::{
    ApiSettings, BuildSettings, ClusterSettings, DatabaseFlags, LinesSettings, key_in, sealing_keys_in,
};

/// Interval at which the leading controller polls for work that other controllers have recorded.
const POLL_INTERVAL_REPLICATED: Duration = Duration::from_secs(1);

/// Connections, where the limit of open files allows.
const API_CONNECTIONS_MAX: usize = 2_048;
const HOOKS_CONNECTIONS_MAX: usize = 256;

/// Pause before a database that does not answer is tried again.
const DATABASE_PAUSE: Duration = Duration::from_secs(1);

/// Answers the API and runs the deployer.
#[derive(Debug, Clone, clap::Args)]
pub struct ControllerRole {
    #[command(flatten)]
    database: DatabaseFlags,

    /// File with the keys that seal config values in the database, 64 hex digits a line: the first seals, all open.
    #[arg(long, env = "WORKFLOW_SEALING_KEY_FILE")]
    sealing_key_file: PathBuf,

    /// Address and port of the API.
    #[arg(long, env = "WORKFLOW_API_LISTEN", default_value_t = everywhere(8000))]
    api_listen: SocketAddr,

    /// Address ranges of routers, joined by commas: from there `X-Forwarded-For` is trusted.
    #[arg(
        long,
        env = "WORKFLOW_TRUSTED_PROXIES",
        value_delimiter = ',',
        default_value = "127.0.0.0/8,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,100.64.0.0/10,::1,fc00::/7"
    )]
    trusted_proxies: Vec<Network>,

    /// Address and port of the builder's hooks; never made public.
    #[arg(long, env = "WORKFLOW_HOOKS_LISTEN", default_value_t = everywhere(8001))]
    hooks_listen: SocketAddr,

    /// File with the key that the builder is known by.
    #[arg(long, env = "WORKFLOW_BUILDER_KEY_FILE")]
    builder_key_file: PathBuf,

    /// File with the logger's key for reading lines.
    #[arg(long, env = "WORKFLOW_LOGGER_KEY_FILE")]
    logger_key_file: PathBuf,

    #[command(flatten)]
    lines: LinesSettings,

    #[command(flatten)]
    api: ApiSettings,

    #[command(flatten)]
    build: BuildSettings,

    #[command(flatten)]
    cluster: ClusterSettings,

    #[command(flatten)]
    role: RoleSettings,
}

impl ControllerRole {
    pub fn check(&self) -> anyhow::Result<()> {
        self.database.url()?;
        sealing_keys_in("--sealing-key-file", &self.sealing_key_file)?;
        self.lines.client()?;
        self.api.check()?;
        self.build.check()?;
        self.cluster.check()?;
        self.settings().map(drop)
    }

    pub fn run(&self) -> anyhow::Result<()> {
        process::run(self.serve())
    }

    async fn serve(&self) -> anyhow::Result<()> {
        let mut process = Process::new()?;
        let api = process::bind("--api-listen", self.api_listen).await?;
        let hooks = process::bind("--hooks-listen", self.hooks_listen).await?;
        let opened = Arc::new(OnceLock::new());
        self.role.add_health(&mut process, ready_with(&opened)).await?;
        let lines = Arc::<LogQueue>::default();
        let starting = async { self.controller(self.store(&opened).await?, lines.clone()).await };
        let Some(controller) = process.start(starting).await? else { return Ok(()) };
        process.add_plain("log publisher", logger::publish(lines, self.lines.client()?, process.stopping()));
        let api_limits = api_limits(files::alone(API_CONNECTIONS_MAX), self.trusted_proxies.clone());
        let hooks_limits = hooks_limits(files::alone(HOOKS_CONNECTIONS_MAX));
        add_controller(&mut process, controller, (api, api_limits), (hooks, hooks_limits));
        tracing::info!("serving the API on {}", self.api_listen);
        process.run(self.role.stop_timeout()).await
    }

    /// Opens the database, and waits for one that does not answer yet: it may be starting too.
    async fn store(&self, opened: &OnceLock<Store>) -> anyhow::Result<Store> {
        let sealing_keys = sealing_keys_in("--sealing-key-file", &self.sealing_key_file)?;
        let url = self.database.url()?;
        loop {
            match Store::open(&url, sealing_keys.clone()).await {
                Ok(store) => return Ok(opened.get_or_init(|| store).clone()),
                Err(error) if error.can_be_retried() => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "waiting for the database");
                    tokio::time::sleep(DATABASE_PAUSE).await;
                }
                Err(error) => return Err(error).context("cannot open the database"),
            }
        }
    }

    async fn controller(&self, store: Store, log_sink: Arc<dyn LogSink>) -> anyhow::Result<Controller> {
        let client = engine_kubernetes::connect().await?;
        let settings = self.cluster.engine(&self.api.domain, &self.build)?;
        tokio::spawn(orphans::warn(store.clone(), settings.clone()));
        let engine = KubernetesEngine::start(client.clone(), settings.clone());
        let jobs = KubernetesJobs::new(client, settings.clone(), self.cluster.pod_name.clone());
        let left = jobs.clone();
        tokio::spawn(async move {
            if let Err(error) = left.remove_orphaned_runs().await {
                tracing::warn!(error = &error as &dyn std::error::Error, "one-off pods may be left over");
            }
        });
        Ok(Controller::new(ControllerParts {
            store,
            engine: Arc::new(engine),
            terminals: Arc::new(jobs.clone()),
            jobs: Arc::new(jobs),
            images: Arc::new(KubernetesImages::new(settings.registry)),
            log_sink,
            settings: self.settings()?,
        }))
    }

    fn settings(&self) -> anyhow::Result<ControllerSettings> {
        let builder_key = Secret::new(key_in("--builder-key-file", &self.builder_key_file)?);
        let logger_key = Secret::new(key_in("--logger-key-file", &self.logger_key_file)?);
        let settings = self.api.controller(builder_key)?;
        let look_for_work_every =
            if self.is_replicated()? { POLL_INTERVAL_REPLICATED } else { settings.poll_interval };
        Ok(ControllerSettings {
            poll_interval: look_for_work_every,
            logger_url: Some(self.lines.logger_url.clone()),
            logger_key: Some(logger_key),
            stacks: self.build.stacks.read()?,
            default_builder: self.build.default_builder(),
            ..settings
        })
    }

    /// Returns true if other controllers may write to the same database.
    fn is_replicated(&self) -> anyhow::Result<bool> {
        Ok(!self.database.url()?.starts_with("sqlite:"))
    }
}

/// Ready while the database takes writes.
fn ready_with(opened: &Arc<OnceLock<Store>>) -> Check {
    let opened = Arc::clone(opened);
    health::check(move || {
        let store = opened.get().cloned();
        async move {
            let store = store.ok_or("the database is not open yet")?;
            store.prove_write().await.map_err(|error| format!("the database takes no writes: {error}"))
        }
    })
}
