//! Start of the engine: finds the daemon and takes up what an earlier process left.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bollard::models::SystemInfo;
use bollard::{API_DEFAULT_VERSION, Docker};
use domain::AppName;
use futures_util::future::join_all;
use tokio::sync::broadcast;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::desired_states::{AppDesiredState, StateFolder};
use super::orphans::Orphans;
use super::routes::RoutePublisher;
use super::tasks::AppHandle;
use super::{
    DockerEngine, DockerSettings, Inner, Reach, autoscale, disk, firewall, orphans, sessions, tasks, triggers,
};
use engine::origin::Origins;
use engine::rollout::crashes::CrashSender;
use engine::{EngineError, LogSink};

const SOCKET_DEFAULT: &str = "/var/run/docker.sock";
/// Bound of one request to Docker; those that wait for an app have their own.
pub const REQUEST_SECONDS_MAX: u64 = 120;
/// Bound of the first question, so that a start without Docker fails soon.
const FIRST_ANSWER_MAX: Duration = Duration::from_secs(5);

/// Longest wait of a start for the first pass of each app, so that the first route table is whole.
const FIRST_PASS_MAX: Duration = Duration::from_secs(2);
/// Events that a reader of logs may be behind before it lists all containers again.
const EVENTS_MAX: usize = 1024;

impl DockerEngine {
    /// Connects to Docker, adopts running containers and starts to reconcile.
    /// What the engine itself has to say about apps goes to `log_sink`.
    pub async fn start(settings: DockerSettings, log_sink: Arc<dyn LogSink>) -> Result<Self, EngineError> {
        Self::start_with(settings, log_sink, None).await
    }

    /// As [`DockerEngine::start`], with this way to containers, whatever Docker's kind.
    pub async fn start_with(
        settings: DockerSettings,
        log_sink: Arc<dyn LogSink>,
        reach: Option<Reach>,
    ) -> Result<Self, EngineError> {
        let folder = StateFolder::open(&settings.state_dir, settings.sealing_keys.clone())?;
        let desired_states = folder.load()?;
        let socket = socket(&settings);
        let (client, info) = find(&socket).await?;
        let stop = CancellationToken::new();
        let inner = Arc::new(Inner {
            routes: RoutePublisher::new(&settings),
            origins: Origins::new(settings.outbound.clone()),
            client,
            settings,
            socket,
            reach: reach.unwrap_or_else(|| reach_of(&info)),
            cpus: info.ncpu.unwrap_or(1).max(1),
            folder,
            apps: Mutex::default(),
            networks: tokio::sync::Mutex::default(),
            orphans: Orphans::default(),
            firewall: Arc::default(),
            events: broadcast::Sender::new(EVENTS_MAX),
            log_sink,
            crashes: CrashSender::default(),
            bases: Default::default(),
            caches: Default::default(),
            started: Instant::now(),
            stop: stop.clone(),
        });
        let engine = Self { inner, _stop: Arc::new(stop.drop_guard()) };
        firewall::start(&engine.inner).await;
        engine.remove_orphans().await?;
        engine.adopt(desired_states).await;
        Ok(engine)
    }

    async fn remove_orphans(&self) -> Result<(), EngineError> {
        self.remove_orphaned_jobs()
            .await
            .map_err(|error| self.inner.failed("remove orphaned jobs", error))?;
        self.remove_orphaned_images()
            .await
            .map_err(|error| self.inner.failed("remove orphaned images", error))?;
        let ended = sessions::end_orphans(&self.inner).await;
        ended.map_err(|error| self.inner.failed("end commands of earlier sessions", error))
    }

    async fn adopt(&self, desired_states: Vec<(AppName, AppDesiredState)>) {
        let inner = &self.inner;
        inner.spawn(triggers::listen(Arc::clone(inner)));
        inner.spawn(autoscale::run(Arc::clone(inner)));
        inner.spawn(orphans::run(Arc::clone(inner)));
        inner.spawn(disk::run(Arc::clone(inner)));
        let apps: Vec<_> =
            desired_states.into_iter().map(|(name, desired)| AppHandle::new(name, desired)).collect();
        for app in &apps {
            inner.apps().insert(app.name.clone(), Arc::clone(app));
            inner.spawn(tasks::run(Arc::clone(inner), Arc::clone(app)));
        }
        let passes = apps.iter().map(|app| app.wait(|state| (state.passes > 0).then_some(())));
        // An app that takes longer comes into the table a little later.
        let _ = timeout(FIRST_PASS_MAX, join_all(passes)).await;
    }
}

async fn find(socket: &str) -> Result<(Docker, SystemInfo), EngineError> {
    let client = connect(socket).map_err(|error| unreachable(socket, error))?;
    let asked = timeout(FIRST_ANSWER_MAX, client.info()).await;
    let info = asked.map_err(|elapsed| unreachable(socket, elapsed))?;
    Ok((client, info.map_err(|error| unreachable(socket, error))?))
}

/// Returns the way of this machine to the addresses of containers.
fn reach_of(info: &SystemInfo) -> Reach {
    let is_desktop = info.operating_system.as_deref().is_some_and(|name| name.contains("Docker Desktop"));
    let is_rootless = info.security_options.iter().flatten().any(|option| option.contains("rootless"));
    if is_desktop || is_rootless || !cfg!(target_os = "linux") { Reach::Published } else { Reach::Direct }
}

fn socket(settings: &DockerSettings) -> String {
    match &settings.socket {
        Some(path) => path.display().to_string(),
        None => std::env::var("DOCKER_HOST").unwrap_or_else(|_| SOCKET_DEFAULT.to_owned()),
    }
}

fn connect(socket: &str) -> Result<Docker, bollard::errors::Error> {
    if socket.starts_with("tcp://") || socket.starts_with("http://") {
        return Docker::connect_with_http(socket, REQUEST_SECONDS_MAX, API_DEFAULT_VERSION);
    }
    Docker::connect_with_unix(socket, REQUEST_SECONDS_MAX, API_DEFAULT_VERSION)
}

fn unreachable(socket: &str, source: impl std::error::Error + Send + Sync + 'static) -> EngineError {
    let what = format!(
        "start with Docker at {socket} (is the Docker daemon running? try `systemctl start docker`; \
         may this user use the socket?)"
    );
    EngineError::Unreachable { what, source: Box::new(source) }
}
