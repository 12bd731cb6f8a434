//! The engine of a cluster: Kubernetes carries out the desired states, the engine keeps each desired state and says what
//! became of it. The only place in the project that knows kube.
//!
//! The parts are separate, since the platform's roles run apart with rights of their own:
//! [`KubernetesEngine`] belongs to the controller, [`KubernetesRoutes`] to the router, `KubernetesJobs` to
//! the builder and the controller, `KubernetesImages` to the controller, [`watch_node_pods`] to the log agent.

mod apply;
mod bundles;
mod certificates;
mod crashes;
mod desired_states;
mod explain;
mod failure;
mod images;
mod jobs;
mod names;
mod namespaces;
mod node_pods;
mod objects;
mod observed_state;
mod pull_secret;
mod registry;
mod replicas;
mod restart;
mod rollout;
mod routes;
mod services;
mod start;
mod stuck;
mod tasks;
mod triggers;
mod verbs;
mod watching;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use domain::AppName;
use domain::build_caches::BuildCaches;
use domain::stacks::Stacks;
use kube::Client;
use tokio::sync::Semaphore;
use tokio_util::sync::{CancellationToken, DropGuard};

use self::namespaces::Spaces;
use self::tasks::Tasks;
use engine::EngineError;
use engine::rollout::crashes::CrashSender;

pub use bundles::KubernetesBundles;
pub use images::KubernetesImages;
pub use jobs::KubernetesJobs;
pub use namespaces::{AppNamespace, app_namespaces};
pub use node_pods::watch_node_pods;
pub use registry::{ImageRegistrySettings, RegistryAccess, RegistryKey};
pub use routes::KubernetesRoutes;

/// Settings of the engine's parts.
#[derive(Debug, Clone)]
pub struct KubernetesSettings {
    /// The namespace of an app is this and the app's name; empty in production.
    pub namespace_prefix: String,
    /// Namespace of the platform itself.
    pub platform_namespace: String,
    /// Namespace of builds, apart from the platform and from apps.
    pub builds_namespace: String,
    /// Apps answer at `<app>.<platform_domain>`.
    pub platform_domain: String,
    pub registry: ImageRegistrySettings,
    /// Images of all stacks, by references that nodes can pull.
    pub stacks: Stacks,
    /// Reference of the image that Dockerfiles are built in, as nodes pull it.
    pub builder_image: String,
    /// Reference of the platform's own image, as nodes pull it.
    pub workflow_image: String,
    /// `IfNotPresent` or `Always`.
    pub image_pull_policy: String,
    /// ConfigMap in the builds' namespace with a PEM bundle in its key `ca-certificates.crt`, which builds
    /// trust instead of the stack's own.
    pub build_ca_config_map: Option<String>,
    /// Proxy and mirror variables of builds.
    pub build_env: BTreeMap<String, String>,
    pub build_memory_bytes: u64,
    /// Most disk that a build may use on its node.
    pub build_disk_bytes: u64,
    /// Bounds of the caches that builds keep in the registry.
    pub build_caches: BuildCaches,
    /// Allows a `# syntax=` line to load another frontend of BuildKit.
    pub build_frontends: bool,
    /// Seconds that the pod of a job may wait for a node and its images.
    pub job_start_seconds: u32,
    /// Largest slug that a build may make.
    pub slug_bytes_max: u64,
    /// Seconds that a pod serves on after it has left the routes, unless the app sets a hook of its own.
    pub pre_stop_sleep_seconds: u32,
    /// Seconds that pods stay on a node that does not answer before they are replaced elsewhere.
    pub node_failure_seconds: u32,
    /// Waits longer for pods that find no node, for clusters that add nodes on demand.
    pub waits_for_nodes: bool,
    /// Keeps apps apart from one another and from the platform by NetworkPolicies.
    pub network_policies: bool,
    /// Networks that no app reaches, such as those of the cloud's metadata.
    pub metadata_addresses: Vec<String>,
    /// Further addresses that no app reaches, such as API servers and the platform's database.
    pub closed_addresses: Vec<ClosedAddress>,
    /// ClusterRole that the controller binds for itself in each app's namespace; `None` where it has its rights
    /// in all of them.
    pub apps_role: Option<String>,
    /// `spec` of a ResourceQuota for each app's namespace.
    pub default_quota: Option<serde_json::Value>,
    /// PriorityClass of apps' pods.
    pub priority_class: Option<String>,
}

/// Addresses at which clouds give credentials to nodes: link-local ones, and those that Alibaba, Amazon (IPv6) and
/// Google (IPv6) use besides.
const METADATA_ADDRESSES: [&str; 5] =
    ["169.254.0.0/16", "100.100.100.200/32", "fe80::/10", "fd00:ec2::/32", "fd20:ce::/32"];

/// An address that no app reaches.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClosedAddress {
    /// Such as `10.0.0.5/32`.
    pub cidr: String,
    /// One port of it, else all.
    pub port: Option<u16>,
}

impl KubernetesSettings {
    /// The defaults, without credentials for the registry: all that a router needs.
    pub fn new(platform_domain: impl Into<String>) -> Self {
        Self {
            namespace_prefix: String::new(),
            platform_namespace: "deis".to_owned(),
            builds_namespace: "deis-builds".to_owned(),
            platform_domain: platform_domain.into(),
            registry: ImageRegistrySettings {
                node_host: "127.0.0.1:5555".to_owned(),
                push_url: "http://deis-registry.deis.svc.cluster.local".to_owned(),
                access: RegistryAccess::External {
                    username: String::new(),
                    password: RegistryKey(String::new()),
                },
                keeps_copies: true,
                insecure_hosts: Vec::new(),
                outbound: outbound::OutboundPolicy::default(),
            },
            stacks: Stacks::default(),
            builder_image: "deis/builder:latest".to_owned(),
            workflow_image: "deis/workflow:latest".to_owned(),
            image_pull_policy: "IfNotPresent".to_owned(),
            build_ca_config_map: None,
            build_env: BTreeMap::new(),
            build_memory_bytes: 2 << 30,
            build_disk_bytes: 8 << 30,
            build_caches: BuildCaches { app_bytes_max: 2 << 30, all_bytes_max: 100 << 30, count_max: 1_000 },
            build_frontends: false,
            slug_bytes_max: 1 << 30,
            job_start_seconds: 300,
            pre_stop_sleep_seconds: 5,
            node_failure_seconds: 30,
            waits_for_nodes: false,
            network_policies: true,
            metadata_addresses: METADATA_ADDRESSES.map(str::to_owned).to_vec(),
            closed_addresses: Vec::new(),
            apps_role: None,
            default_quota: None,
            priority_class: None,
        }
    }
}

/// The engine; clones are handles to the same one. Its tasks end when the last handle is dropped, and what
/// runs in the cluster runs on.
#[derive(Clone)]
pub struct KubernetesEngine {
    inner: Arc<Inner>,
    _stop: Arc<DropGuard>,
}

/// State that the engine's tasks share.
struct Inner {
    client: Client,
    settings: Arc<KubernetesSettings>,
    tasks: Tasks,
    /// Bounds the workloads that are reconciled at the same time.
    passes: Semaphore,
    spaces: Spaces,
    /// Apps whose namespace this process has made.
    prepared: Mutex<BTreeSet<AppName>>,
    /// Apps whose namespace this process has looked into.
    seen: Mutex<BTreeSet<AppName>>,
    images: KubernetesImages,
    crashes: CrashSender,
    stop: CancellationToken,
}

/// Connects to the cluster that `KUBECONFIG` or the pod's own service account names.
pub async fn connect() -> Result<Client, EngineError> {
    Client::try_default().await.map_err(|error| EngineError::Refused {
        what: "connect to Kubernetes".to_owned(),
        reason: format!("{error}; run in a pod with a service account, or set KUBECONFIG"),
    })
}
