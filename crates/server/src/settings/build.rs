//! Settings of builds: images, limits, and a company's proxies or mirrors.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use builder::BuilderSettings;
use domain::cnb::BuilderChoice;
use listener::Network;

use super::StackSettings;

/// git and the hook that it starts need that much for any push.
const GIT_MEMORY_MIB_MIN: u64 = 128;
/// Variables that lead package clients to proxies and mirrors; builds get our own by default.
const HOST_BUILD_VARIABLES: [&str; 15] = [
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "PIP_TRUSTED_HOST",
    "UV_DEFAULT_INDEX",
    "npm_config_registry",
    "GOPROXY",
    "GONOPROXY",
    "GOPRIVATE",
    "GONOSUMDB",
];

#[derive(Debug, Clone, clap::Args)]
pub struct BuildSettings {
    #[command(flatten)]
    pub stacks: StackSettings,

    /// Image that Dockerfiles are built in.
    #[arg(long, env = "WORKFLOW_BUILDER_IMAGE", default_value = "deis/builder:latest")]
    pub builder_image: String,

    /// Builder image of Cloud Native Buildpacks for apps that name none; without it each names its own.
    #[arg(long, env = "WORKFLOW_BUILDER")]
    pub builder: Option<String>,

    /// Variable for all builds, `NAME=value`, on top of the proxy and mirror variables that we have; may be
    /// given several times.
    #[arg(long = "build-env", env = "WORKFLOW_BUILD_ENV", value_delimiter = ' ')]
    pub env: Vec<String>,

    /// Memory of one build in MiB.
    #[arg(long = "build-memory", env = "WORKFLOW_BUILD_MEMORY", default_value_t = 2_048)]
    pub memory_mib: u64,

    /// Seconds until a build is stopped.
    #[arg(long = "build-timeout", env = "WORKFLOW_BUILD_TIMEOUT", default_value_t = 900)]
    pub timeout: u32,

    /// Disk of one build in MiB, its cache included.
    #[arg(long = "build-disk", env = "WORKFLOW_BUILD_DISK", default_value_t = 8_192)]
    pub disk_mib: u64,

    /// Allow a `# syntax=` line of a Dockerfile to load another frontend of BuildKit, an image that is pulled and
    /// run; otherwise the built-in one is used whatever the line says.
    #[arg(long = "build-frontends", env = "WORKFLOW_BUILD_FRONTENDS", default_value_t = false, action = clap::ArgAction::Set)]
    pub frontends: bool,

    /// Largest slug in MiB.
    #[arg(long = "slug-size-max", env = "WORKFLOW_SLUG_SIZE_MAX", default_value_t = 1_024)]
    pub slug_mib_max: u64,

    /// Largest push in MiB.
    #[arg(long = "push-size-max", env = "WORKFLOW_PUSH_SIZE_MAX", default_value_t = 512)]
    pub push_mib_max: u64,

    /// Memory of one git process in MiB: a push that needs more is refused.
    #[arg(long = "git-memory", env = "WORKFLOW_GIT_MEMORY", default_value_t = 512)]
    pub git_memory_mib: u64,

    /// Ranges of proxies in front of SSH, such as 10.0.0.0/8: their connections may begin with a PROXY protocol
    /// header and have no share of their own; may be given several times.
    #[arg(long, env = "WORKFLOW_SSH_TRUSTED_PROXIES", value_delimiter = ',')]
    pub ssh_trusted_proxies: Vec<Network>,
}

impl BuildSettings {
    pub fn check(&self) -> anyhow::Result<()> {
        self.variables()?;
        self.stacks.read()?;
        if let Some(builder) = self.default_builder() {
            BuilderChoice::parse(&builder).with_context(|| format!("--builder `{builder}`"))?;
        }
        ensure!(self.memory_mib >= 64, "--build-memory {}: expected at least 64 MiB", self.memory_mib);
        ensure!(self.timeout >= 10, "--build-timeout {}: expected at least 10 seconds", self.timeout);
        ensure!(self.disk_mib >= 64, "--build-disk {}: expected at least 64 MiB", self.disk_mib);
        ensure!(self.slug_mib_max > 0, "--slug-size-max 0: expected at least 1 MiB");
        ensure!(
            self.git_memory_mib >= GIT_MEMORY_MIB_MIN,
            "--git-memory {}: expected at least {GIT_MEMORY_MIB_MIN} MiB",
            self.git_memory_mib
        );
        ensure!(self.push_mib_max > 0, "--push-size-max 0: expected at least 1 MiB");
        Ok(())
    }

    /// The builder of Cloud Native Buildpacks.
    pub fn default_builder(&self) -> Option<String> {
        self.builder.clone().filter(|builder| !builder.is_empty())
    }

    /// A builder with these bounds.
    pub fn bounded(&self, builder: BuilderSettings) -> BuilderSettings {
        BuilderSettings {
            build_deadline_seconds: self.timeout,
            push_bytes_max: self.push_mib_max << 20,
            git_memory_bytes: self.git_memory_mib << 20,
            trusted_proxies: self.ssh_trusted_proxies.clone(),
            ..builder
        }
    }

    /// Our own proxy and mirror variables, then those given by name.
    pub fn variables(&self) -> anyhow::Result<BTreeMap<String, String>> {
        let of_host = HOST_BUILD_VARIABLES.iter().filter_map(|name| {
            let value = std::env::var(name).ok()?;
            Some(((*name).to_owned(), value))
        });
        let mut variables: BTreeMap<String, String> = of_host.collect();
        for pair in &self.env {
            let (name, value) =
                pair.split_once('=').with_context(|| format!("--build-env `{pair}`: expected NAME=value"))?;
            variables.insert(name.to_owned(), value.to_owned());
        }
        Ok(variables)
    }
}
