//! The engine of one machine: Docker.
//!
//! Wanted state is kept by the engine in its own folder, sealed, so that apps come back after a reboot
//! without any other part of the platform. The only place in the project that knows bollard.
//!
//! Each app has a task that compares its desired state with its containers and acts (`rollout`); what to do next is
//! decided by pure code (`plan`). Containers are known again by their labels, so a death at any moment costs
//! nothing but time. Where the number of replicas follows the load, `autoscale` says how many there are.

mod address;
mod autoscale;
mod confinement;
mod container;
mod crashes;
mod desired_states;
mod disk;
mod explain;
mod failure;
pub mod firewall;
mod health;
mod images;
mod jobs;
mod logs;
mod names;
mod network;
mod observed_state;
mod orphans;
mod plan;
mod probe;
mod removal;
mod replicas;
mod restart;
mod retire;
mod rollout;
mod routes;
mod sessions;
mod start;
mod tasks;
mod triggers;
mod verbs;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bollard::Docker;
use domain::AppName;
use domain::build_caches::BuildCaches;
use domain::certs::Pair;
use domain::edge::{AppRules, RouterRules};
use domain::sealing::SealingKeys;
use domain::stacks::Stacks;
use outbound::OutboundPolicy;
use tokio::sync::broadcast;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use self::desired_states::StateFolder;
pub use self::desired_states::reseal as reseal_state;
pub use self::disk::REPLICAS_EVERY as REPLICA_DISK_EVERY;
use self::firewall::{Firewall, FirewallSettings};
use self::orphans::Orphans;
use self::routes::RoutePublisher;
use self::tasks::AppHandle;
use self::triggers::ContainerEvent;
use engine::origin::Origins;
use engine::rollout::crashes::CrashSender;
use engine::{EngineError, LogSink};

/// Settings of the engine.
#[derive(Debug, Clone)]
pub struct DockerSettings {
    /// Identifies this platform among those that share one Docker daemon; part of labels, networks and image
    /// names.
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
    /// Settings of routers.
    pub router_rules: RouterRules,
    /// Settings of apps that differ from the routers'.
    pub app_rules: BTreeMap<AppName, AppRules>,
    /// Range from which each app's network takes a /26, such as `10.213.0.0/16`.
    pub network_range: String,
    /// Labels of this one node, which an app's tags must match.
    pub node_labels: BTreeMap<String, String>,
    /// Images of all stacks.
    pub stacks: Stacks,
    /// PEM bundle that builds trust instead of the stack's own.
    pub build_ca_bundle: Option<PathBuf>,
    /// Proxy and mirror variables of builds.
    pub build_env: BTreeMap<String, String>,
    /// Bounds of each build.
    pub build_memory_bytes: u64,
    pub build_pids_max: u32,
    /// Most disk that one build may use, its cache included.
    pub build_disk_bytes: u64,
    /// Name of the image that Dockerfiles are built in.
    pub builder_image: String,
    /// Images of Docker that Dockerfiles may name.
    pub base_images: Vec<String>,
    /// Allows a `# syntax=` line to load another frontend of BuildKit.
    pub build_frontends: bool,
    pub build_caches: BuildCaches,
    /// Bytes that a replica, or a one-off process, may write to its container's disk; `None` sets no limit.
    pub replica_disk_bytes: Option<u64>,
    /// Interval at which written bytes of replicas are measured.
    pub replica_disk_every: Duration,
    /// Largest slug that a build may make.
    pub slug_bytes_max: u64,
    /// Most processes and threads of one replica.
    pub pids_max: u32,
    /// Registries of others that speak plain HTTP, each as `host` or `host:port`.
    pub insecure_hosts: Vec<String>,
    /// Addresses that may be connected to for users.
    pub outbound: OutboundPolicy,
    /// Ports of the host that containers reach; `None` leaves that to the operator's own firewall.
    pub firewall: Option<FirewallSettings>,
}

/// The platform's way to the ports of containers.
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

/// State that the engine's tasks share.
struct Inner {
    client: Docker,
    settings: DockerSettings,
    /// Address of the Docker socket, for messages.
    socket: String,
    reach: Reach,
    /// Processors of the machine that Docker runs on.
    cpus: i64,
    folder: StateFolder,
    apps: Mutex<BTreeMap<AppName, Arc<AppHandle>>>,
    /// Held while a network is looked for and made: Docker would make two of one name.
    networks: tokio::sync::Mutex<()>,
    orphans: Orphans,
    /// The rules that this process itself keeps in force.
    firewall: Arc<tokio::sync::Mutex<Option<Firewall>>>,
    routes: RoutePublisher,
    events: broadcast::Sender<ContainerEvent>,
    log_sink: Arc<dyn LogSink>,
    crashes: CrashSender,
    bases: jobs::KnownBases,
    caches: jobs::KnownCaches,
    started: Instant,
    /// Registries that users name.
    origins: Origins,
    stop: CancellationToken,
}

impl DockerEngine {
    /// Replaces the certificate of the platform's own hosts and of those that have none.
    pub fn set_platform_certificate(&self, pair: Option<Pair>) {
        self.inner.routes.set_platform_certificate(pair);
    }

    /// Takes away what nothing needs once no container of this platform is left: the firewall's rules and the network
    /// of builds. To be called when the engine is about to end.
    pub async fn remove_if_unused(&self) {
        removal::finish_platform(&self.inner).await;
    }

    fn docker(&self) -> &Docker {
        &self.inner.client
    }

    fn settings(&self) -> &DockerSettings {
        &self.inner.settings
    }

    fn origins(&self) -> &Origins {
        &self.inner.origins
    }

    /// The network of an app, made when it is missing.
    async fn app_network(&self, app: &AppName) -> Result<String, EngineError> {
        network::ensure(&self.inner, app).await
    }
}

impl Inner {
    fn apps(&self) -> MutexGuard<'_, BTreeMap<AppName, Arc<AppHandle>>> {
        self.apps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The client for requests that wait for an app for up to so many seconds.
    fn with_timeout(&self, seconds: i64) -> Docker {
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
