//! `workflow up`: all roles in one process, wired together. Reads as the order of starting.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use builder::BuilderSettings;
use controller::{Controller, ControllerSettings, Parts, Secret};
use domain::sealing::SealingKey;
use engine::docker::{DockerEngine, DockerSettings};
use engine::{Engine, EngineError, Images, Jobs, Logs, Routes};
use logger::LoggerSettings;
use router::{Router, RouterSettings};
use store::Store;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::data_dir::{DataDir, hex};
use crate::settings::UpSettings;

/// How long to wait for a Docker daemon that is only just starting, as after a reboot.
const DOCKER_PATIENCE: Duration = Duration::from_secs(60);

/// Runs until TERM or INT, or until a part fails.
pub fn run(settings: &UpSettings) -> anyhow::Result<()> {
    let data_dir = DataDir::open(&settings.data_dir)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let ended = runtime.block_on(serve(settings, &data_dir));
    // A blocking task that hangs (a password, a hook call) must not hold the process.
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended
}

async fn serve(settings: &UpSettings, data_dir: &DataDir) -> anyhow::Result<()> {
    let mut stop_signals = StopSignals::listen()?;
    let (shutdown, stopping) = watch::channel(false);
    let inner = Listeners::bind(settings).await?;
    let addresses = inner.addresses()?;
    let engine = tokio::select! {
        engine = start_engine(docker_settings(settings, data_dir, addresses.api)?) => engine?,
        () = stop_signals.next() => return Ok(()),
    };
    let routes: Arc<dyn Routes> = Arc::new(engine.clone());
    // The router comes first: apps that run are served before anything else is up.
    let router = Router::start(&router_settings(settings), &routes, &stopping)?;
    let controller = start_controller(settings, data_dir, &engine, addresses.logger).await?;

    let mut parts = Running::default();
    let logs: Arc<dyn Logs> = Arc::new(engine.clone());
    let jobs: Arc<dyn Jobs> = Arc::new(engine.clone());
    let Listeners { api, hooks, logger, ssh } = inner;
    parts.add(
        "logger",
        logger::run(logger_settings(settings, data_dir)?, Some(logger), Arc::clone(&logs), stopping.clone()),
    );
    parts.add("api", controller::serve(api, controller::public_router(controller.clone()), stopping.clone()));
    parts.add(
        "hooks",
        controller::serve(hooks, controller::hooks_router(controller.clone()), stopping.clone()),
    );
    let deployer = controller::deployer::run(controller, stopped(stopping.clone()));
    parts.add("deployer", async move {
        deployer.await;
        anyhow::Ok(())
    });
    let builder = builder_settings(settings, data_dir, addresses.hooks)?;
    parts.add("builder", builder::run(builder, Some(ssh), jobs, logs, stopping));
    tracing::info!("serving http://deis.{}:{}", settings.domain, router.address().port());

    let failed = tokio::select! {
        () = stop_signals.next() => None,
        failed = parts.first_end() => Some(failed),
    };
    tracing::info!("stopping");
    shutdown.send_replace(true);
    let stop_timeout = Duration::from_secs(settings.stop_timeout);
    let drained = async {
        parts.all_ended().await;
        tokio::task::spawn_blocking(move || router.join()).await
    };
    if tokio::time::timeout(stop_timeout, drained).await.is_err() {
        tracing::warn!("not everything ended within {stop_timeout:?}; ending all the same");
    }
    failed.map_or(Ok(()), Err)
}

/// Ends when the platform is to stop.
async fn stopped(mut stopping: watch::Receiver<bool>) {
    // A closed channel means that whoever could stop us is gone.
    let _ = stopping.wait_for(|stop| *stop).await;
}

/// TERM and INT, whichever comes.
struct StopSignals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl StopSignals {
    fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => (),
            _ = self.interrupt.recv() => (),
        }
    }
}

/// Everything but the router's, bound before anything starts, so that a taken port is told at once.
struct Listeners {
    api: TcpListener,
    hooks: TcpListener,
    logger: TcpListener,
    ssh: TcpListener,
}

struct Addresses {
    api: SocketAddr,
    hooks: SocketAddr,
    logger: SocketAddr,
}

impl Listeners {
    async fn bind(settings: &UpSettings) -> anyhow::Result<Self> {
        let inner = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let bind = |address| async move {
            let taken =
                || format!("cannot listen on {address}: choose another address or stop what holds it");
            TcpListener::bind(address).await.with_context(taken)
        };
        // The router binds its own, once per worker; this only checks before anything starts.
        drop(bind(settings.http_listen).await.context("--http-listen")?);
        Ok(Self {
            api: bind(inner).await?,
            hooks: bind(inner).await?,
            logger: bind(inner).await?,
            ssh: bind(settings.ssh_listen).await.context("--ssh-listen")?,
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

/// The parts that run as tasks; one that ends early takes the platform down, for a supervisor to restart.
#[derive(Default)]
struct Running(JoinSet<(&'static str, anyhow::Result<()>)>);

impl Running {
    fn add<E>(&mut self, name: &'static str, part: impl Future<Output = Result<(), E>> + Send + 'static)
    where
        E: Into<anyhow::Error>,
    {
        self.0.spawn(async move { (name, part.await.map_err(Into::into)) });
    }

    async fn first_end(&mut self) -> anyhow::Error {
        match self.0.join_next().await {
            Some(Ok((name, Err(error)))) => error.context(format!("the {name} failed")),
            Some(Ok((name, Ok(())))) => anyhow::anyhow!("the {name} ended by itself"),
            Some(Err(error)) => anyhow::Error::new(error).context("a part of the platform panicked"),
            None => anyhow::anyhow!("nothing runs"),
        }
    }

    async fn all_ended(&mut self) {
        while let Some(ended) = self.0.join_next().await {
            if let Ok((name, Err(error))) = ended {
                tracing::warn!("the {name} did not stop well: {error:#}");
            }
        }
    }
}

async fn start_engine(settings: DockerSettings) -> anyhow::Result<DockerEngine> {
    let deadline = tokio::time::Instant::now() + DOCKER_PATIENCE;
    loop {
        match DockerEngine::start(settings.clone()).await {
            Err(error @ EngineError::Unreachable { .. }) if tokio::time::Instant::now() < deadline => {
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
        state_dir: data_dir.join("engine"),
        sealing_key: sealing_key(data_dir)?,
        platform_domain: settings.domain.clone(),
        platform_routes: vec![("deis".to_owned(), api)],
        network_range: settings.network_range.clone(),
        node_labels: labels.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        stack_image: settings.build.stack_image.clone(),
        build_ca_bundle: settings.build.bundle()?,
        build_env: settings.build.variables()?,
        build_memory_bytes: settings.build.memory_mib << 20,
        build_pids_max: settings.build.pids_max,
        slug_bytes_max: settings.build.slug_mib_max << 20,
        pids_max: settings.pids_max,
    })
}

fn sealing_key(data_dir: &DataDir) -> anyhow::Result<SealingKey> {
    Ok(SealingKey::new(&data_dir.secret("sealing-key")?))
}

fn router_settings(settings: &UpSettings) -> RouterSettings {
    RouterSettings {
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
    let in_data_dir = || format!("sqlite://{}", data_dir.join("workflow.db").display());
    let url = settings.database_url.clone().unwrap_or_else(in_data_dir);
    let store = Store::open(&url, sealing_key(data_dir)?).await.context("cannot open the database")?;
    let engine = Arc::new(engine.clone());
    Ok(Controller::new(Parts {
        store,
        engine: Arc::clone(&engine) as Arc<dyn Engine>,
        jobs: Arc::clone(&engine) as Arc<dyn Jobs>,
        images: Arc::clone(&engine) as Arc<dyn Images>,
        logs: engine,
        settings: controller_settings(settings, data_dir, logger)?,
    }))
}

fn controller_settings(
    settings: &UpSettings,
    data_dir: &DataDir,
    logger: SocketAddr,
) -> anyhow::Result<ControllerSettings> {
    let builder_key = Secret::new(hex(&data_dir.secret("builder-key")?));
    settings.deploys.applied_to(ControllerSettings {
        registration_mode: settings.registration_mode,
        reserved_names: settings.reserved_names.iter().map(|name| name.trim().to_owned()).collect(),
        logger_url: Some(format!("http://{logger}")),
        deploy_timeout_seconds: settings.deploy_timeout,
        grace_seconds: settings.termination_grace,
        ..ControllerSettings::new(&settings.domain, builder_key)
    })
}

fn logger_settings(settings: &UpSettings, data_dir: &DataDir) -> anyhow::Result<LoggerSettings> {
    Ok(LoggerSettings { lines_per_app_max: settings.log_lines, ..LoggerSettings::new(data_dir.join("logs")) })
}

fn builder_settings(
    settings: &UpSettings,
    data_dir: &DataDir,
    hooks: SocketAddr,
) -> anyhow::Result<BuilderSettings> {
    let program = std::env::current_exe().context("cannot tell where this program lies")?;
    let hook_command = vec![program.display().to_string(), "git-hook".to_owned()];
    let builder_key = hex(&data_dir.secret("builder-key")?);
    Ok(BuilderSettings {
        build_deadline_seconds: settings.build.timeout,
        push_bytes_max: settings.build.push_mib_max << 20,
        drain_timeout: Duration::from_secs(settings.stop_timeout / 2),
        ..BuilderSettings::new(data_dir.join("builder"), format!("http://{hooks}"), builder_key, hook_command)
    })
}
