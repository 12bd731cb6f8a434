//! `workflow up`: all roles in one process, wired together. Reads as the order of starting.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context as _;
use builder::BuilderSettings;
use controller::{Controller, ControllerSettings, Parts, Secret};
use engine::docker::{DockerEngine, DockerSettings};
use engine::{Engine, EngineError, Images, Jobs, Logs, Terminals};
use logger::LoggerSettings;
use router::{LastTable, RememberedRoutes, Router, RouterParts, RouterSettings, Tell};
use store::Store;
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::data_dir::{DataDir, hex};
use crate::handover::Sockets;
use crate::health;
use crate::platform_cert;
use crate::process::{self, Process};
use crate::roles;
use crate::settings::UpSettings;

/// Where the engine keeps what is wanted, below the data folder.
pub const ENGINE_FOLDER: &str = "engine";

/// Where the last routes are kept, below the data folder, for a router that starts while Docker does not answer.
const ROUTES_FILE: &str = "routes";
/// How long Docker may take to answer before apps are served by the last routes.
const ENGINE_PATIENCE: Duration = Duration::from_secs(2);
/// How long to wait for a Docker daemon that is only just starting, as after a reboot.
const DOCKER_PATIENCE: Duration = Duration::from_secs(60);

/// Runs until TERM or INT, or until a part fails.
pub fn run(settings: &UpSettings) -> anyhow::Result<()> {
    let data_dir = DataDir::open(&settings.data_dir)?;
    process::run(serve(settings, &data_dir))
}

async fn serve(settings: &UpSettings, data_dir: &DataDir) -> anyhow::Result<()> {
    let mut process = Process::restartable()?;
    let (stopping, leaving, restarting) = (process.stopping(), process.leaving(), process.restarting());
    let mut inherited = Sockets::inherited()?;
    let is_restart = !inherited.is_empty();
    let inner = Listeners::bind(settings, &mut inherited, process.doors()).await?;
    let addresses = inner.addresses()?;
    let Listeners { api, hooks, logger, ssh, metrics } = inner;
    let docker = docker_settings(settings, data_dir, addresses.api)?;
    let platform_certificate = platform_cert::read(&settings.edge)?;
    let last = LastTable::new(data_dir.join(ROUTES_FILE), Some(data_dir.sealing_keys()?));
    let routes = RememberedRoutes::new(Some(last));
    let logs = Arc::<OnceLock<DockerEngine>>::default();
    let mut listeners =
        roles::inherited_listeners(&mut inherited, settings.http_listen, settings.edge.https_listen);
    let mut start_router = || {
        let parts = RouterParts {
            routes: routes.clone(),
            tell: Some(tell(&logs)),
            listeners: std::mem::take(&mut listeners),
            restarting: Arc::clone(&restarting),
        };
        Router::start_with(&router_settings(settings), parts, &leaving)
    };
    // After a restart visitors wait at the sockets.
    let patience = if is_restart { Duration::ZERO } else { ENGINE_PATIENCE };
    let starting = async {
        let is_serving = AtomicBool::new(false);
        let mut engine = std::pin::pin!(start_engine(docker, &is_serving));
        let mut router = None;
        if let Ok(engine) = timeout(patience, engine.as_mut()).await {
            return anyhow::Ok((engine?, router));
        }
        if routes.recall() {
            router = Some(start_router()?);
            is_serving.store(true, Ordering::Relaxed);
        }
        Ok((engine.await?, router))
    };
    let Some((engine, router)) = process.start(starting).await? else { return Ok(()) };
    engine.set_platform_certificate(platform_certificate);
    logs.get_or_init(|| engine.clone());
    let following = routes.clone().follow(Arc::new(engine.clone()), leaving.clone());
    process.add_to_edge("routes", following);
    // The router comes first: apps that run are served before anything else is up.
    let mut router = router.map_or_else(start_router, Ok)?;
    roles::keep_listeners(process.doors(), &router.take_doors())?;
    if let Some(listener) = metrics {
        let metrics = health::serve(listener, health::always(), Some(router.metrics()), stopping.clone());
        process.add("metrics", metrics);
    }
    let controller = start_controller(settings, data_dir, &engine, addresses.logger).await?;

    let logs: Arc<dyn Logs> = Arc::new(engine.clone());
    let jobs: Arc<dyn Jobs> = Arc::new(engine.clone());
    let kept = logger_settings(settings, data_dir)?;
    process.add("logger", logger::run(kept, Some(logger), Some(Arc::clone(&logs)), stopping.clone()));
    roles::add_controller(&mut process, controller, api, hooks);
    let builder = builder_settings(settings, data_dir, addresses.hooks)?;
    process.add("builder", builder::run(builder, Some(ssh), jobs, logs, None, stopping.clone()));
    let certificate = platform_cert::follow(settings.edge.clone(), engine, stopping);
    process.add_plain("watch of the platform's certificate", certificate);
    tracing::info!("serving http://deis.{}:{}", settings.api.domain, router.address().port());
    if let Some(https) = router.https_address() {
        tracing::info!("serving https://deis.{}:{}", settings.api.domain, https.port());
    }
    process.add_thread_to_edge("router", || router.join());
    process.run(Duration::from_secs(settings.stop_timeout)).await
}

/// Everything but the router's, bound before anything starts, so that a taken port is told at once.
struct Listeners {
    api: TcpListener,
    hooks: TcpListener,
    logger: TcpListener,
    ssh: TcpListener,
    /// Of the router's metrics, where they are asked for.
    metrics: Option<TcpListener>,
}

struct Addresses {
    api: SocketAddr,
    hooks: SocketAddr,
    logger: SocketAddr,
}

impl Listeners {
    async fn bind(
        settings: &UpSettings,
        inherited: &mut Sockets,
        doors: &mut Sockets,
    ) -> anyhow::Result<Self> {
        let inner = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        // The router binds its own, once per worker; this only checks before anything starts.
        if inherited.is_empty() {
            drop(process::bind("--http-listen", settings.http_listen).await?);
            if let Some(https) = settings.edge.https_listen.0 {
                drop(process::bind("--https-listen", https).await?);
            }
        }
        let metrics = match settings.edge.metrics_listen.0 {
            Some(address) => Some(process::bind("--metrics-listen", address).await?),
            None => None,
        };
        Ok(Self {
            metrics,
            api: process::bind("the API", inner).await?,
            hooks: process::bind("the hooks", inner).await?,
            logger: process::bind("the logger", inner).await?,
            ssh: process::bind_or_take((inherited, doors), "ssh", "--ssh-listen", settings.ssh_listen)
                .await?,
        })
    }

    fn addresses(&self) -> anyhow::Result<Addresses> {
        Ok(Addresses {
            api: self.api.local_addr()?,
            hooks: self.hooks.local_addr()?,
            logger: self.logger.local_addr()?,
        })
    }
}

/// What apps are told by the router; before the engine is there, nobody would keep it.
fn tell(engine: &Arc<OnceLock<DockerEngine>>) -> Tell {
    let engine = Arc::clone(engine);
    Arc::new(move |line| {
        if let Some(engine) = engine.get() {
            engine.write(line);
        }
    })
}

/// Waits for Docker within a bound; as long as it takes where apps are served meanwhile.
async fn start_engine(settings: DockerSettings, is_serving: &AtomicBool) -> anyhow::Result<DockerEngine> {
    let deadline = tokio::time::Instant::now() + DOCKER_PATIENCE;
    loop {
        match DockerEngine::start(settings.clone()).await {
            Err(error @ EngineError::Unreachable { .. })
                if tokio::time::Instant::now() < deadline || is_serving.load(Ordering::Relaxed) =>
            {
                tracing::warn!(error = &error as &dyn std::error::Error, "waiting for Docker");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            started => return started.context("is the Docker daemon running, and may this user reach it?"),
        }
    }
}

fn docker_settings(
    settings: &UpSettings,
    data_dir: &DataDir,
    api: SocketAddr,
) -> anyhow::Result<DockerSettings> {
    let labels = settings.node_labels.iter().filter_map(|label| label.split_once('='));
    Ok(DockerSettings {
        instance: data_dir.instance()?,
        socket: settings.docker_socket.clone(),
        state_dir: data_dir.join(ENGINE_FOLDER),
        sealing_keys: data_dir.sealing_keys()?,
        platform_domain: settings.api.domain.clone(),
        platform_routes: vec![("deis".to_owned(), api)],
        router_rules: settings.edge.rules()?,
        app_rules: settings.edge.app_rules()?,
        network_range: settings.network_range.clone(),
        node_labels: labels.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        stack_image: settings.build.stack_image.clone(),
        build_ca_bundle: settings.build_ca_bundle()?,
        build_env: settings.build.variables()?,
        build_memory_bytes: settings.build.memory_mib << 20,
        build_pids_max: settings.build_pids_max,
        slug_bytes_max: settings.build.slug_mib_max << 20,
        pids_max: settings.pids_max,
    })
}

fn router_settings(settings: &UpSettings) -> RouterSettings {
    RouterSettings {
        https: settings.edge.https_listen.0.map(|listen| roles::https(listen, &settings.api.domain)),
        hold_timeout: Duration::from_secs(settings.hold_timeout),
        drain_timeout: Duration::from_secs(settings.stop_timeout / 2),
        ..RouterSettings::new(settings.http_listen)
    }
}

async fn start_controller(
    settings: &UpSettings,
    data_dir: &DataDir,
    engine: &DockerEngine,
    logger: SocketAddr,
) -> anyhow::Result<Controller> {
    let url = database_url(settings.database_url.as_deref(), data_dir);
    let store = Store::open(&url, data_dir.sealing_keys()?).await.context("cannot open the database")?;
    let engine = Arc::new(engine.clone());
    Ok(Controller::new(Parts {
        store,
        engine: Arc::clone(&engine) as Arc<dyn Engine>,
        jobs: Arc::clone(&engine) as Arc<dyn Jobs>,
        terminals: Arc::clone(&engine) as Arc<dyn Terminals>,
        images: Arc::clone(&engine) as Arc<dyn Images>,
        logs: engine,
        settings: controller_settings(settings, data_dir, logger)?,
    }))
}

/// The database that was asked for, else SQLite in the data folder.
pub fn database_url(asked: Option<&str>, data_dir: &DataDir) -> String {
    let in_data_dir = || format!("sqlite://{}", data_dir.join("workflow.db").display());
    asked.map_or_else(in_data_dir, str::to_owned)
}

fn controller_settings(
    settings: &UpSettings,
    data_dir: &DataDir,
    logger: SocketAddr,
) -> anyhow::Result<ControllerSettings> {
    let builder_key = Secret::new(hex(&data_dir.secret("builder-key")?));
    let logger_url = Some(format!("http://{logger}"));
    Ok(ControllerSettings { logger_url, ..settings.api.controller(builder_key)? })
}

fn logger_settings(settings: &UpSettings, data_dir: &DataDir) -> anyhow::Result<LoggerSettings> {
    Ok(LoggerSettings { lines_per_app_max: settings.log_lines, ..LoggerSettings::new(data_dir.join("logs")) })
}

fn builder_settings(
    settings: &UpSettings,
    data_dir: &DataDir,
    hooks: SocketAddr,
) -> anyhow::Result<BuilderSettings> {
    let hook_command = roles::git_hook_command()?;
    let builder_key = hex(&data_dir.secret("builder-key")?);
    let drain_timeout = Duration::from_secs(settings.stop_timeout / 2);
    let hooks_url = format!("http://{hooks}");
    let builder = BuilderSettings::new(data_dir.join("builder"), hooks_url, builder_key, hook_command);
    Ok(BuilderSettings { drain_timeout, ..settings.build.bounded(builder) })
}
