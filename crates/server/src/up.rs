//! `workflow up`: all roles in one process, wired together. Reads as the order of starting.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use builder::BuilderSettings;
use controller::{Controller, ControllerParts, ControllerSettings, Secret, api_limits, hooks_limits};
use domain::build_caches::BuildCaches;
use engine::log_queue::LogQueue;
use engine::{Engine, EngineError, Images, Jobs, LogSink, Terminals};
use engine_docker::firewall::FirewallSettings;
use engine_docker::{DockerEngine, DockerSettings, REPLICA_DISK_EVERY};
use listener::Network;
use logger::{LocalLines, LoggerSettings};
use router::{LastTable, RememberedRoutes, Router, RouterParts, RouterSettings};
use store::Store;
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::data_dir::{DataDir, hex};
use crate::files::ConnectionShares;
use crate::handover::Sockets;
use crate::health;
use crate::platform_cert;
use crate::process::{self, Process};
use crate::rebase::{BUILDER_KEY, HOOKS_ADDRESS};
use crate::roles;
use crate::settings::{UpSettings, disk_bytes};

/// Folder of the engine's state, below the data folder.
pub const ENGINE_FOLDER: &str = "engine";

/// Name by which Dockerfiles have the run image of the default stack.
const STACK_IMAGE: &str = "deis/stack:latest";
/// File of the last routes, below the data folder, for a router that starts while Docker does not answer.
const ROUTES_FILE: &str = "routes";
/// Folder of request bodies that are still arriving, below the data folder.
const BODIES_FOLDER: &str = "bodies";
/// Longest wait for Docker before apps are served by the last routes.
const ENGINE_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest time for the platform to remove its own objects, once no app runs.
const REMOVAL_MAX: Duration = Duration::from_secs(10);
/// Longest wait for a Docker daemon that is just starting, as after a reboot.
const DOCKER_TIMEOUT: Duration = Duration::from_secs(60);

/// Runs until TERM or INT, or until a part fails.
pub fn run(settings: &UpSettings) -> anyhow::Result<()> {
    let data_dir = DataDir::open(&settings.data_dir)?;
    process::run(serve(settings, &data_dir))
}

async fn serve(settings: &UpSettings, data_dir: &DataDir) -> anyhow::Result<()> {
    let connections = ConnectionShares::of_this_process();
    let mut process = Process::restartable()?;
    let (stopping, leaving, restarting) = (process.stopping(), process.leaving(), process.restarting());
    let mut inherited = Sockets::inherited()?;
    let is_restart = !inherited.is_empty();
    let inner = InnerListeners::bind(settings, &mut inherited, process.sockets()).await?;
    let addresses = inner.addresses()?;
    let InnerListeners { api, hooks, logger, ssh, metrics } = inner;
    let docker = docker_settings(settings, data_dir, &addresses)?;
    let platform_certificate = platform_cert::read(&settings.edge)?;
    let last = LastTable::new(data_dir.join(ROUTES_FILE), Some(data_dir.sealing_keys()?));
    let routes = RememberedRoutes::new(Some(last));
    // Lines wait in it until the logger runs.
    let platform_lines = Arc::<LogQueue>::default();
    let log_sink: Arc<dyn LogSink> = platform_lines.clone();
    let mut listeners =
        roles::inherited_listeners(&mut inherited, settings.http_listen, settings.edge.https_listen);
    let router = router_settings(settings, data_dir, connections)?;
    let mut start_router = || {
        let parts = RouterParts {
            routes: routes.clone(),
            log_sink: Some(Arc::clone(&log_sink)),
            listeners: std::mem::take(&mut listeners),
            restarting: Arc::clone(&restarting),
        };
        Router::start_with(&router, parts, &leaving)
    };
    // After a restart clients wait at the sockets.
    let engine_timeout = if is_restart { Duration::ZERO } else { ENGINE_TIMEOUT };
    let starting = async {
        let is_serving = AtomicBool::new(false);
        let mut engine = std::pin::pin!(start_engine(docker, &log_sink, &is_serving));
        let mut router = None;
        if let Ok(engine) = timeout(engine_timeout, engine.as_mut()).await {
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
    let following = routes.clone().follow(Arc::new(engine.clone()), leaving.clone());
    process.add_to_edge("routes", following);
    // The router comes first: apps that run are served before anything else is up.
    let mut router = router.map_or_else(start_router, Ok)?;
    roles::keep_listeners(process.sockets(), &router.take_listeners())?;
    if let Some(listener) = metrics {
        let metrics = health::serve(listener, health::always(), Some(router.metrics()), stopping.clone());
        process.add("metrics", metrics);
    }
    let controller =
        start_controller(settings, data_dir, &engine, Arc::clone(&log_sink), addresses.logger).await?;

    let local = LocalLines { source: Arc::new(engine.clone()), platform: platform_lines };
    let jobs: Arc<dyn Jobs> = Arc::new(engine.clone());
    let kept = logger_settings(settings, data_dir, connections)?;
    process.add("logger", logger::run(kept, Some(logger), Some(local), stopping.clone()));
    let api_limits = api_limits(connections.api, loopback()?);
    let hooks_limits = hooks_limits(connections.hooks);
    roles::add_controller(&mut process, controller, (api, api_limits), (hooks, hooks_limits));
    data_dir.replace(HOOKS_ADDRESS, &format!("http://{}\n", addresses.hooks))?;
    let builder = builder_settings(settings, data_dir, addresses.hooks)?;
    process.add("builder", builder::run(builder, Some(ssh), jobs, log_sink, None, stopping.clone()));
    let certificate = platform_cert::follow(settings.edge.clone(), engine.clone(), stopping);
    process.add_plain("watch of the platform's certificate", certificate);
    tracing::info!("serving http://deis.{}:{}", settings.api.domain, router.address().port());
    if let Some(https) = router.https_address() {
        tracing::info!("serving https://deis.{}:{}", settings.api.domain, https.port());
    }
    process.add_thread_to_edge("router", || router.join());
    let ended = process.run(Duration::from_secs(settings.stop_timeout)).await;
    if timeout(REMOVAL_MAX, engine.remove_if_unused()).await.is_err() {
        tracing::warn!("Docker takes too long: the firewall's rules stay until the next stop");
    }
    ended
}

/// All listeners but the router's, bound before anything starts, so that a taken port is reported at once.
struct InnerListeners {
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
    metrics: Option<SocketAddr>,
}

impl Addresses {
    /// Ports of the platform that containers reach: its public listeners, and no other.
    fn firewall(&self, settings: &UpSettings) -> FirewallSettings {
        let internal = [Some(self.api), Some(self.hooks), Some(self.logger), self.metrics];
        let public = [Some(settings.http_listen), settings.edge.https_listen.0, Some(settings.ssh_listen)];
        let ports = |addresses: &[Option<SocketAddr>]| -> BTreeSet<u16> {
            let ports = addresses.iter().flatten().map(SocketAddr::port);
            ports.filter(|port| *port != 0).collect()
        };
        FirewallSettings {
            closed_ports: ports(&internal),
            public_ports: ports(&public),
            host_services: settings.host_services.clone(),
        }
    }
}

impl InnerListeners {
    async fn bind(
        settings: &UpSettings,
        inherited: &mut Sockets,
        sockets: &mut Sockets,
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
            ssh: process::bind_or_take((inherited, sockets), "ssh", "--ssh-listen", settings.ssh_listen)
                .await?,
        })
    }

    fn addresses(&self) -> anyhow::Result<Addresses> {
        Ok(Addresses {
            api: self.api.local_addr()?,
            hooks: self.hooks.local_addr()?,
            logger: self.logger.local_addr()?,
            metrics: self.metrics.as_ref().map(TcpListener::local_addr).transpose()?,
        })
    }
}

/// Waits for Docker within a bound; as long as it takes where apps are served meanwhile.
async fn start_engine(
    settings: DockerSettings,
    log_sink: &Arc<dyn LogSink>,
    is_serving: &AtomicBool,
) -> anyhow::Result<DockerEngine> {
    let deadline = tokio::time::Instant::now() + DOCKER_TIMEOUT;
    loop {
        match DockerEngine::start(settings.clone(), Arc::clone(log_sink)).await {
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
    addresses: &Addresses,
) -> anyhow::Result<DockerSettings> {
    let stacks = settings.build.stacks.read()?;
    let labels = settings.node_labels.iter().filter_map(|label| label.split_once('='));
    Ok(DockerSettings {
        instance: data_dir.instance()?,
        socket: settings.docker_socket.clone(),
        state_dir: data_dir.join(ENGINE_FOLDER),
        sealing_keys: data_dir.sealing_keys()?,
        platform_domain: settings.api.domain.clone(),
        platform_routes: vec![("deis".to_owned(), addresses.api)],
        router_rules: settings.edge.rules()?,
        app_rules: settings.edge.app_rules()?,
        network_range: settings.network_range.clone(),
        node_labels: labels.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        stacks: stacks.clone(),
        build_ca_bundle: settings.build_ca_bundle()?,
        build_env: settings.build.variables()?,
        build_memory_bytes: settings.build.memory_mib << 20,
        build_pids_max: settings.build_pids_max,
        build_disk_bytes: settings.build.disk_mib << 20,
        builder_image: settings.build.builder_image.clone(),
        // The stack's image is on every platform, for builds that need no other base.
        base_images: [STACK_IMAGE, stacks.default_run_image()]
            .map(str::to_owned)
            .into_iter()
            .chain(settings.base_images.iter().cloned())
            .collect(),
        build_frontends: settings.build.frontends,
        build_caches: BuildCaches {
            app_bytes_max: settings.build_cache_size_max << 20,
            all_bytes_max: settings.build_caches_size_max << 20,
            count_max: settings.build_caches_max,
        },
        replica_disk_bytes: disk_bytes("--replica-disk", &settings.replica_disk)?,
        replica_disk_every: REPLICA_DISK_EVERY,
        slug_bytes_max: settings.build.slug_mib_max << 20,
        pids_max: settings.pids_max,
        insecure_hosts: settings.outbound.insecure_registry.clone(),
        outbound: settings.outbound.policy()?,
        firewall: Some(addresses.firewall(settings)),
    })
}

/// Addresses from which the router proxies to the API; nothing else reaches it.
fn loopback() -> anyhow::Result<Vec<Network>> {
    Ok(vec!["127.0.0.0/8".parse()?])
}

fn router_settings(
    settings: &UpSettings,
    data_dir: &DataDir,
    connections: ConnectionShares,
) -> anyhow::Result<RouterSettings> {
    let bodies = data_dir.join(BODIES_FOLDER);
    std::fs::create_dir_all(&bodies).with_context(|| format!("cannot make {}", bodies.display()))?;
    let mut router = RouterSettings {
        https: settings.edge.https_listen.0.map(|listen| roles::https(listen, &settings.api.domain)),
        hold_timeout: Duration::from_secs(settings.hold_timeout),
        drain_timeout: Duration::from_secs(settings.stop_timeout / 2),
        ..RouterSettings::new(settings.http_listen)
    };
    router.share_files(connections.router_files);
    settings.connections.add_to(&mut router, bodies);
    Ok(router)
}

async fn start_controller(
    settings: &UpSettings,
    data_dir: &DataDir,
    engine: &DockerEngine,
    log_sink: Arc<dyn LogSink>,
    logger: SocketAddr,
) -> anyhow::Result<Controller> {
    let url = database_url(settings.database_url.as_deref(), data_dir);
    let store = Store::open(&url, data_dir.sealing_keys()?).await.context("cannot open the database")?;
    let engine = Arc::new(engine.clone());
    Ok(Controller::new(ControllerParts {
        store,
        engine: Arc::clone(&engine) as Arc<dyn Engine>,
        jobs: Arc::clone(&engine) as Arc<dyn Jobs>,
        terminals: Arc::clone(&engine) as Arc<dyn Terminals>,
        images: engine as Arc<dyn Images>,
        log_sink,
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
    let builder_key = Secret::new(hex(&data_dir.secret(BUILDER_KEY)?));
    let logger_url = Some(format!("http://{logger}"));
    let logger_key = Some(Secret::new(logger_key(data_dir)?));
    let stacks = settings.build.stacks.read()?;
    let default_builder = settings.build.default_builder();
    let own = settings.api.controller(builder_key)?;
    Ok(ControllerSettings { logger_url, logger_key, stacks, default_builder, ..own })
}

fn logger_settings(
    settings: &UpSettings,
    data_dir: &DataDir,
    connections: ConnectionShares,
) -> anyhow::Result<LoggerSettings> {
    Ok(LoggerSettings {
        lines_per_app_max: settings.log_lines,
        key: Some(logger_key(data_dir)?),
        connections_max: connections.logger,
        ..LoggerSettings::new(data_dir.join("logs"))
    })
}

/// Key with which the controller reads and drops lines: others on this machine reach the logger's port, too.
fn logger_key(data_dir: &DataDir) -> anyhow::Result<String> {
    Ok(hex(&data_dir.secret("logger-key")?))
}

fn builder_settings(
    settings: &UpSettings,
    data_dir: &DataDir,
    hooks: SocketAddr,
) -> anyhow::Result<BuilderSettings> {
    let hook_command = roles::git_hook_command()?;
    let builder_key = hex(&data_dir.secret(BUILDER_KEY)?);
    let drain_timeout = Duration::from_secs(settings.stop_timeout / 2);
    let hooks_url = format!("http://{hooks}");
    let builder = BuilderSettings::new(data_dir.join("builder"), hooks_url, builder_key, hook_command);
    Ok(BuilderSettings { drain_timeout, ..settings.build.bounded(builder) })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Only {
        #[command(flatten)]
        settings: UpSettings,
    }

    #[test]
    fn the_logger_asks_for_the_key_that_the_controller_shows() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let data_dir = DataDir::open(folder.path()).expect("a fresh folder");
        let settings = Only::parse_from(["up"]).settings;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));

        let asked = logger_settings(&settings, &data_dir, ConnectionShares::of_this_process())
            .expect("settings")
            .key
            .expect("a key");
        let controller = controller_settings(&settings, &data_dir, address).expect("settings");
        let shown = controller.logger_key.expect("a key");

        assert_eq!((asked.as_str(), asked.len()), (shown.expose(), 64));
        assert_ne!(asked, hex(&data_dir.secret(BUILDER_KEY).expect("another key")));
    }
}
