//! The engine of one machine: Docker.
//!
//! Wanted state is kept by the engine in its own folder, sealed, so that apps come back after a reboot
//! without any other part of the platform. The only place in the project that knows bollard.
//!
//! Each app has a task that compares its wish with its containers and acts (`rollout`); what to do next is
//! decided by pure code (`plan`). Containers are known again by their labels, so a death at any moment costs
//! nothing but time. Where the number of replicas follows the load, `autoscale` says how many there are.

mod address;
mod app;
mod apps;
mod autoscale;
mod board;
mod container;
mod events;
mod failure;
mod giving_up;
mod health;
mod images;
mod jobs;
mod logs;
mod names;
mod network;
mod plan;
mod probe;
mod removal;
mod replicas;
mod retire;
mod rollout;
mod sessions;
mod start;
mod state;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bollard::Docker;
use domain::AppName;
use domain::certs::Pair;
use domain::edge::{AppRules, RouterRules};
use domain::sealing::SealingKeys;
use tokio::sync::broadcast;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use self::app::App;
use self::board::Board;
use self::events::ContainerEvent;
use self::state::StateFolder;
pub use self::state::reseal as reseal_state;
use crate::EngineError;
use crate::lines::Lines;

/// What the engine must know before it starts.
#[derive(Debug, Clone)]
pub struct DockerSettings {
    /// Tells platforms apart that share one Docker daemon; part of labels, networks and image names.
    pub instance: String,
    /// Path of Docker's socket; `None` asks `DOCKER_HOST`'s default of the client library.
    pub socket: Option<PathBuf>,
    /// Folder for wanted state; made with mode 0700.
    pub state_dir: PathBuf,
    pub sealing_keys: SealingKeys,
    /// Apps answer at `<app>.<platform_domain>`.
    pub platform_domain: String,
    /// Routes of the platform itself: first label of the host (`deis`) and where it is served.
    pub platform_routes: Vec<(String, SocketAddr)>,
    /// How routers are to work.
    pub router_rules: RouterRules,
    /// What apps have otherwise than routers have it.
    pub app_rules: BTreeMap<AppName, AppRules>,
    /// Range from which each app's network takes a /26, such as `10.213.0.0/16`.
    pub network_range: String,
    /// Labels of this one node, which an app's tags must match.
    pub node_labels: BTreeMap<String, String>,
    /// Name of the stack image.
    pub stack_image: String,
    /// PEM bundle that builds trust instead of the stack's own.
    pub build_ca_bundle: Option<PathBuf>,
    /// Proxy and mirror variables of builds.
    pub build_env: BTreeMap<String, String>,
    /// Bounds of each build.
    pub build_memory_bytes: u64,
    pub build_pids_max: u32,
    /// Largest slug that a build may make.
    pub slug_bytes_max: u64,
    /// Most processes and threads of one replica.
    pub pids_max: u32,
}

/// How the platform reaches the ports of containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// By the container's own address.
    Direct,
    /// By a port of the loopback address, where containers run in another machine or network, as with
    /// Docker Desktop and rootless Docker.
    Published,
}

/// The engine; clones are handles to the same one. Its tasks end when the last handle is dropped, and the
/// containers run on.
#[derive(Clone)]
pub struct DockerEngine {
    inner: Arc<Inner>,
    _stop: Arc<DropGuard>,
}

/// What the engine's tasks share.
struct Inner {
    client: Docker,
    settings: DockerSettings,
    /// Where Docker is asked, for messages.
    socket: String,
    reach: Reach,
    /// Processors of the machine that Docker runs on.
    cpus: i64,
    folder: StateFolder,
    apps: Mutex<BTreeMap<AppName, Arc<App>>>,
    /// Held while a network is looked for and made: Docker would make two of one name.
    networks: tokio::sync::Mutex<()>,
    board: Board,
    events: broadcast::Sender<ContainerEvent>,
    lines: Lines,
    stop: CancellationToken,
}

impl DockerEngine {
    /// Replaces the certificate of the platform's own hosts and of those that have none.
    pub fn set_platform_certificate(&self, pair: Option<Pair>) {
        self.inner.board.set_platform_certificate(pair);
    }

    fn docker(&self) -> &Docker {
        &self.inner.client
    }

    fn settings(&self) -> &DockerSettings {
        &self.inner.settings
    }

    /// The network of an app, made when it is missing.
    async fn app_network(&self, app: &AppName) -> Result<String, EngineError> {
        network::ensure(&self.inner, app).await
    }
}

impl Inner {
    fn apps(&self) -> MutexGuard<'_, BTreeMap<AppName, Arc<App>>> {
        self.apps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The client for requests that wait for an app for up to so many seconds.
    fn patient(&self, seconds: i64) -> Docker {
        let seconds = seconds.max(0).unsigned_abs() + start::REQUEST_SECONDS_MAX;
        self.client.clone().with_timeout(Duration::from_secs(seconds))
    }

    /// Runs a task until it ends or the engine is dropped.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        let stop = self.stop.clone();
        tokio::spawn(async move {
            stop.run_until_cancelled(task).await;
        })
    }
}
