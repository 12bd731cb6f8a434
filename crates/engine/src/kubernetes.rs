//! The engine of a cluster: Kubernetes carries out what is wished, the engine keeps each wish and says what
//! became of it. The only place in the project that knows kube.
//!
//! The parts are separate, since the platform's roles run apart with rights of their own:
//! [`KubernetesEngine`] belongs to the controller, [`KubernetesRoutes`] to the router, `KubernetesJobs` to
//! the builder and the controller, `KubernetesImages` to the controller. The engine has all of them, for one
//! process that is everything.

mod images;
mod jobs;
mod registry;

use std::collections::BTreeMap;

use kube::Client;

use crate::EngineError;

pub use images::KubernetesImages;
pub use jobs::KubernetesJobs;
pub use registry::{RegistryAccess, RegistryKey, RegistrySettings};

/// What the parts of the engine must know before they start.
#[derive(Debug, Clone)]
pub struct KubernetesSettings {
    /// The namespace of an app is this and the app's name; empty in production.
    pub namespace_prefix: String,
    /// Where the platform itself runs.
    pub platform_namespace: String,
    /// Where builds run, apart from the platform and from apps.
    pub builds_namespace: String,
    /// Apps answer at `<app>.<platform_domain>`.
    pub platform_domain: String,
    pub registry: RegistrySettings,
    /// Reference of the stack image, as nodes pull it.
    pub stack_image: String,
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
    /// How long the pod of a job may wait for a node and its images.
    pub job_start_seconds: u32,
    /// Largest slug that a build may make.
    pub slug_bytes_max: u64,
    /// How long a pod serves on after it has left the routes, where the app sets no hook of its own.
    pub pre_stop_sleep_seconds: u32,
    /// How long pods stay on a node that does not answer before they are replaced elsewhere.
    pub node_failure_seconds: u32,
    /// Whether apps are kept apart from one another and from the platform by NetworkPolicies.
    pub network_policies: bool,
    /// `spec` of a ResourceQuota for each app's namespace.
    pub default_quota: Option<serde_json::Value>,
    /// PriorityClass of apps' pods.
    pub priority_class: Option<String>,
}

/// Connects to the cluster that `KUBECONFIG` or the pod's own service account names.
pub async fn connect() -> Result<Client, EngineError> {
    Client::try_default().await.map_err(|error| EngineError::Refused {
        what: "connect to Kubernetes".to_owned(),
        reason: format!("{error}; run in a pod with a service account, or set KUBECONFIG"),
    })
}
