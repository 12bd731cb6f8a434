//! Settings of the roles that act on a cluster: which namespaces, which images, which registry.

use std::path::PathBuf;

use anyhow::{Context as _, bail, ensure};
use engine::kubernetes::{KubernetesSettings, RegistryAccess, RegistryKey, RegistrySettings};

use super::{BuildSettings, key_in};

/// Most seconds that a setting may make pods wait.
const WAIT_SECONDS_MAX: u32 = 3_600;

#[derive(Debug, Clone, clap::Args)]
pub struct ClusterSettings {
    #[command(flatten)]
    pub namespaces: Namespaces,

    /// Namespace that builds run in.
    #[arg(long, env = "WORKFLOW_BUILDS_NAMESPACE", default_value = "deis-builds")]
    pub builds_namespace: String,

    /// Name of the pod that we run in: what it started and left behind is known by it.
    #[arg(long, env = "HOSTNAME", default_value = "workflow")]
    pub pod_name: String,

    /// Disk of one build in MiB.
    #[arg(long = "build-disk", env = "WORKFLOW_BUILD_DISK", default_value_t = 8_192)]
    pub build_disk_mib: u64,

    /// Seconds until a build or a one-off process that finds no place on a node is given up.
    #[arg(long, env = "WORKFLOW_JOB_START_TIMEOUT", default_value_t = 300)]
    pub job_start_timeout: u32,

    /// Image of the platform, as nodes pull it; builds use it.
    #[arg(long, env = "WORKFLOW_IMAGE", default_value = "deis/workflow:latest")]
    pub workflow_image: String,

    /// When nodes pull images of apps and builds: `IfNotPresent` or `Always`.
    #[arg(long, env = "IMAGE_PULL_POLICY", default_value = "IfNotPresent")]
    pub image_pull_policy: String,

    /// ConfigMap in the namespace of builds with a PEM bundle in its key `ca-certificates.crt`, which builds
    /// trust [default: the stack's own].
    #[arg(long, env = "WORKFLOW_BUILD_CA_CONFIG_MAP")]
    pub build_ca_config_map: Option<String>,

    /// Seconds that a pod serves on after it has left the routes, where the app sets no hook of its own.
    #[arg(long, env = "WORKFLOW_PRE_STOP_SLEEP", default_value_t = 5)]
    pub pre_stop_sleep: u32,

    /// Seconds until pods of a node that does not answer are replaced elsewhere.
    #[arg(long, env = "WORKFLOW_NODE_FAILURE", default_value_t = 30)]
    pub node_failure: u32,

    /// Any text: a replica that finds no node does not fail its release for 7 more minutes, where nodes are
    /// made when pods need them.
    #[arg(long, env = "DEIS_IGNORE_SCHEDULING_FAILURE", default_value = "")]
    pub ignore_scheduling_failure: String,

    /// Whether NetworkPolicies keep apps apart from one another and from the platform.
    #[arg(long, env = "WORKFLOW_NETWORK_POLICIES", default_value_t = true, action = clap::ArgAction::Set)]
    pub network_policies: bool,

    /// `spec` of a ResourceQuota for each app's namespace, as JSON.
    #[arg(long, env = "KUBERNETES_NAMESPACE_DEFAULT_QUOTA_SPEC")]
    pub default_quota: Option<String>,

    /// PriorityClass of the apps' pods.
    #[arg(long, env = "WORKFLOW_PRIORITY_CLASS")]
    pub priority_class: Option<String>,

    #[command(flatten)]
    pub registry: RegistryFlags,
}

/// Where apps and the platform are.
#[derive(Debug, Clone, clap::Args)]
pub struct Namespaces {
    /// Namespace of an app: this and the app's name.
    #[arg(long, env = "WORKFLOW_NAMESPACE_PREFIX", default_value = "")]
    pub namespace_prefix: String,

    /// Namespace that the platform runs in.
    #[arg(long, env = "POD_NAMESPACE", default_value = "deis")]
    pub platform_namespace: String,
}

#[derive(Debug, Clone, clap::Args)]
pub struct RegistryFlags {
    /// What the image references of pods start with.
    #[arg(long, env = "WORKFLOW_REGISTRY_NODE_HOST", default_value = "127.0.0.1:5555")]
    pub registry_node_host: String,

    /// Where the platform itself reaches the same registry.
    #[arg(
        long,
        env = "WORKFLOW_REGISTRY_URL",
        default_value = "http://deis-registry.deis.svc.cluster.local"
    )]
    pub registry_url: String,

    /// File with the key that the managed registry derives its credentials from.
    #[arg(long, env = "WORKFLOW_REGISTRY_KEY_FILE", required_unless_present = "registry_username")]
    pub registry_key_file: Option<PathBuf>,

    /// User name at a registry of your own.
    #[arg(long, env = "WORKFLOW_REGISTRY_USERNAME", conflicts_with = "registry_key_file")]
    pub registry_username: Option<String>,

    /// File with the password of --registry-username.
    #[arg(long, env = "WORKFLOW_REGISTRY_PASSWORD_FILE", requires = "registry_username")]
    pub registry_password_file: Option<PathBuf>,

    /// Registries of others that speak plain HTTP, `host` or `host:port`; may be given several times.
    #[arg(long, env = "WORKFLOW_INSECURE_REGISTRIES", value_delimiter = ',')]
    pub insecure_registry: Vec<String>,

    /// Whether images that users bring are copied into the registry, so that apps never depend on where they
    /// came from.
    #[arg(long, env = "WORKFLOW_REGISTRY_KEEPS_COPIES", default_value_t = true, action = clap::ArgAction::Set)]
    pub registry_keeps_copies: bool,
}

impl ClusterSettings {
    pub fn check(&self) -> anyhow::Result<()> {
        let policy = &self.image_pull_policy;
        ensure!(
            matches!(policy.as_str(), "IfNotPresent" | "Always"),
            "--image-pull-policy `{policy}`: expected IfNotPresent or Always"
        );
        for (flag, seconds) in
            [("--pre-stop-sleep", self.pre_stop_sleep), ("--node-failure", self.node_failure)]
        {
            ensure!(seconds <= WAIT_SECONDS_MAX, "{flag} {seconds}: expected at most {WAIT_SECONDS_MAX}");
        }
        ensure!(self.build_disk_mib >= 64, "--build-disk {}: expected at least 64 MiB", self.build_disk_mib);
        self.quota()?;
        self.registry.access()?;
        Ok(())
    }

    fn quota(&self) -> anyhow::Result<Option<serde_json::Value>> {
        let Some(text) = self.default_quota.as_deref().filter(|text| !text.trim().is_empty()) else {
            return Ok(None);
        };
        let quota: serde_json::Value =
            serde_json::from_str(text).context("--default-quota: expected JSON")?;
        let spec = quota.get("spec").unwrap_or(&quota);
        ensure!(
            spec.is_object(),
            "--default-quota: expected such as {{\"spec\":{{\"hard\":{{\"pods\":\"10\"}}}}}}"
        );
        Ok(Some(spec.clone()))
    }

    /// What the engine must know.
    pub fn engine(&self, domain: &str, build: &BuildSettings) -> anyhow::Result<KubernetesSettings> {
        Ok(KubernetesSettings {
            namespace_prefix: self.namespaces.namespace_prefix.clone(),
            platform_namespace: self.namespaces.platform_namespace.clone(),
            builds_namespace: self.builds_namespace.clone(),
            platform_domain: domain.to_owned(),
            registry: self.registry.settings()?,
            stack_image: build.stack_image.clone(),
            workflow_image: self.workflow_image.clone(),
            image_pull_policy: self.image_pull_policy.clone(),
            build_ca_config_map: self.build_ca_config_map.clone(),
            build_env: build.variables()?,
            build_memory_bytes: build.memory_mib << 20,
            build_disk_bytes: self.build_disk_mib << 20,
            slug_bytes_max: build.slug_mib_max << 20,
            job_start_seconds: self.job_start_timeout,
            pre_stop_sleep_seconds: self.pre_stop_sleep,
            node_failure_seconds: self.node_failure,
            waits_for_nodes: !self.ignore_scheduling_failure.is_empty(),
            network_policies: self.network_policies,
            default_quota: self.quota()?,
            priority_class: self.priority_class.clone(),
        })
    }
}

impl RegistryFlags {
    fn settings(&self) -> anyhow::Result<RegistrySettings> {
        Ok(RegistrySettings {
            node_host: self.registry_node_host.clone(),
            push_url: self.registry_url.trim_end_matches('/').to_owned(),
            access: self.access()?,
            keeps_copies: self.registry_keeps_copies,
            insecure_hosts: self.insecure_registry.clone(),
        })
    }

    fn access(&self) -> anyhow::Result<RegistryAccess> {
        let Self { registry_key_file, registry_username, registry_password_file, .. } = self;
        match (registry_key_file, registry_username, registry_password_file) {
            (Some(file), _, _) => {
                Ok(RegistryAccess::Managed { key: RegistryKey(key_in("--registry-key-file", file)?) })
            }
            (None, Some(username), Some(file)) => {
                let password = std::fs::read_to_string(file)
                    .with_context(|| format!("--registry-password-file {}", file.display()))?;
                let password = RegistryKey(password.trim_end().to_owned());
                Ok(RegistryAccess::External { username: username.clone(), password })
            }
            _ => bail!(
                "give --registry-key-file for the managed registry, or --registry-username and \
                 --registry-password-file for one of your own"
            ),
        }
    }
}
