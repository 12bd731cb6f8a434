//! Settings of the roles that act on a cluster: which namespaces, which images, which registry.

use std::path::PathBuf;

use anyhow::{Context as _, bail, ensure};
use engine_kubernetes::{
    ClosedAddress, ImageRegistrySettings, KubernetesSettings, RegistryAccess, RegistryKey,
};
use ipnet::IpNet;

use super::{BuildSettings, OutboundSettings, key_in};

/// Most seconds that a setting may make pods wait.
const WAIT_SECONDS_MAX: u32 = 3_600;

#[derive(Debug, Clone, clap::Args)]
pub struct ClusterSettings {
    #[command(flatten)]
    pub namespaces: Namespaces,

    /// Namespace that builds run in.
    #[arg(long, env = "WORKFLOW_BUILDS_NAMESPACE", default_value = "deis-builds")]
    pub builds_namespace: String,

    /// Name of our own pod, by which its leftover objects are recognized.
    #[arg(long, env = "HOSTNAME", default_value = "workflow")]
    pub pod_name: String,

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

    /// Keep apps apart from one another and from the platform by NetworkPolicies.
    #[arg(long, env = "WORKFLOW_NETWORK_POLICIES", default_value_t = true, action = clap::ArgAction::Set)]
    pub network_policies: bool,

    /// Networks that no app reaches, such as `169.254.0.0/16`; may be given several times [default: where clouds give
    /// credentials].
    #[arg(long, env = "WORKFLOW_METADATA_ADDRESSES", value_delimiter = ',')]
    pub metadata_address: Vec<String>,

    /// Further addresses that no app reaches, as JSON: `[{"cidr":"10.0.0.5/32","port":5432}]`; without a port, all
    /// ports.
    #[arg(long, env = "WORKFLOW_CLOSED_ADDRESSES", default_value = "", hide_default_value = true)]
    pub closed_addresses: String,

    /// ClusterRole that the controller binds for itself in the namespace of each app [default: none, where its
    /// account has these rights in all namespaces].
    #[arg(long, env = "WORKFLOW_APPS_ROLE")]
    pub apps_role: Option<String>,

    /// `spec` of a ResourceQuota for each app's namespace, as JSON.
    #[arg(long, env = "KUBERNETES_NAMESPACE_DEFAULT_QUOTA_SPEC")]
    pub default_quota: Option<String>,

    /// PriorityClass of the apps' pods.
    #[arg(long, env = "WORKFLOW_PRIORITY_CLASS")]
    pub priority_class: Option<String>,

    #[command(flatten)]
    pub registry: RegistryFlags,
}

/// Namespaces of apps and of the platform.
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
    /// Prefix of the image references of pods.
    #[arg(long, env = "WORKFLOW_REGISTRY_NODE_HOST", default_value = "127.0.0.1:5555")]
    pub registry_node_host: String,

    /// URL of the same registry for the platform itself.
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

    #[command(flatten)]
    pub outbound: OutboundSettings,

    /// Copy images that users bring into the registry, so that apps never depend on their origin.
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
        self.quota()?;
        self.closed()?;
        self.metadata_addresses(Vec::new())?;
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

    fn closed(&self) -> anyhow::Result<Vec<ClosedAddress>> {
        if self.closed_addresses.trim().is_empty() {
            return Ok(Vec::new());
        }
        let closed: Vec<ClosedAddress> = serde_json::from_str(&self.closed_addresses)
            .context("--closed-addresses: expected such as [{\"cidr\":\"10.0.0.5/32\",\"port\":5432}]")?;
        for address in &closed {
            check_network("--closed-addresses", &address.cidr)?;
            ensure!(
                address.port != Some(0),
                "--closed-addresses: {}: a port is from 1 to 65535",
                address.cidr
            );
        }
        Ok(closed)
    }

    /// Of the setting, else of the engine.
    fn metadata_addresses(&self, usual: Vec<String>) -> anyhow::Result<Vec<String>> {
        self.metadata_address.iter().try_for_each(|network| check_network("--metadata-address", network))?;
        Ok(if self.metadata_address.is_empty() { usual } else { self.metadata_address.clone() })
    }

    /// Settings for the engine.
    pub fn engine(&self, domain: &str, build: &BuildSettings) -> anyhow::Result<KubernetesSettings> {
        let usual = KubernetesSettings::new(domain);
        Ok(KubernetesSettings {
            namespace_prefix: self.namespaces.namespace_prefix.clone(),
            platform_namespace: self.namespaces.platform_namespace.clone(),
            builds_namespace: self.builds_namespace.clone(),
            platform_domain: domain.to_owned(),
            registry: self.registry.settings()?,
            stacks: build.stacks.read()?,
            builder_image: build.builder_image.clone(),
            workflow_image: self.workflow_image.clone(),
            image_pull_policy: self.image_pull_policy.clone(),
            build_ca_config_map: self.build_ca_config_map.clone(),
            build_env: build.variables()?,
            build_memory_bytes: build.memory_mib << 20,
            build_disk_bytes: build.disk_mib << 20,
            build_caches: usual.build_caches,
            build_frontends: build.frontends,
            slug_bytes_max: build.slug_mib_max << 20,
            job_start_seconds: self.job_start_timeout,
            pre_stop_sleep_seconds: self.pre_stop_sleep,
            node_failure_seconds: self.node_failure,
            waits_for_nodes: !self.ignore_scheduling_failure.is_empty(),
            network_policies: self.network_policies,
            metadata_addresses: self.metadata_addresses(usual.metadata_addresses)?,
            closed_addresses: self.closed()?,
            apps_role: self.apps_role.clone().filter(|role| !role.is_empty()),
            default_quota: self.quota()?,
            priority_class: self.priority_class.clone(),
        })
    }
}

/// As Kubernetes takes it: an address, a slash and a length.
fn check_network(flag: &str, network: &str) -> anyhow::Result<()> {
    network.parse::<IpNet>().map(drop).with_context(|| {
        format!("{flag}: {network}: expected a network such as 169.254.0.0/16 or fd00:ec2::254/128")
    })
}

impl RegistryFlags {
    fn settings(&self) -> anyhow::Result<ImageRegistrySettings> {
        Ok(ImageRegistrySettings {
            node_host: self.registry_node_host.clone(),
            push_url: self.registry_url.trim_end_matches('/').to_owned(),
            access: self.access()?,
            keeps_copies: self.registry_keeps_copies,
            insecure_hosts: self.outbound.insecure_registry.clone(),
            outbound: self.outbound.policy()?,
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
