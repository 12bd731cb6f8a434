//! Settings of builds: the stack, bounds, and the way out through a company's proxy or mirrors.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context as _, ensure};

/// Where Debian and its relatives keep the machine's trusted authorities.
const HOST_CA_BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Variables that lead package clients to proxies and mirrors; builds get the host's own by default.
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
    /// Image that buildpack builds run in and that their apps stand on.
    #[arg(long, env = "WORKFLOW_STACK_IMAGE", default_value = "deis/stack:latest")]
    pub stack_image: String,

    /// PEM bundle of authorities that builds trust; `none` leaves the stack's own [default: this machine's].
    #[arg(long = "build-ca-bundle", env = "WORKFLOW_BUILD_CA_BUNDLE")]
    pub ca_bundle: Option<String>,

    /// Variable for all builds, `NAME=value`, on top of this machine's proxy and mirror variables; may be
    /// given several times.
    #[arg(long = "build-env", env = "WORKFLOW_BUILD_ENV", value_delimiter = ' ')]
    pub env: Vec<String>,

    /// Memory of one build in MiB.
    #[arg(long = "build-memory", env = "WORKFLOW_BUILD_MEMORY", default_value_t = 2_048)]
    pub memory_mib: u64,

    /// Most processes and threads of one build.
    #[arg(
        id = "build_pids_max",
        long = "build-pids-max",
        env = "WORKFLOW_BUILD_PIDS_MAX",
        default_value_t = 2_048
    )]
    pub pids_max: u32,

    /// Seconds until a build is stopped.
    #[arg(long = "build-timeout", env = "WORKFLOW_BUILD_TIMEOUT", default_value_t = 900)]
    pub timeout: u32,

    /// Largest slug in MiB.
    #[arg(long = "slug-size-max", env = "WORKFLOW_SLUG_SIZE_MAX", default_value_t = 1_024)]
    pub slug_mib_max: u64,

    /// Largest push in MiB.
    #[arg(long = "push-size-max", env = "WORKFLOW_PUSH_SIZE_MAX", default_value_t = 512)]
    pub push_mib_max: u64,
}

impl BuildSettings {
    pub fn check(&self) -> anyhow::Result<()> {
        self.variables()?;
        self.bundle()?;
        ensure!(self.memory_mib >= 64, "--build-memory {}: expected at least 64 MiB", self.memory_mib);
        ensure!(self.pids_max >= 64, "--build-pids-max {}: expected at least 64", self.pids_max);
        ensure!(self.timeout >= 10, "--build-timeout {}: expected at least 10 seconds", self.timeout);
        ensure!(self.slug_mib_max > 0, "--slug-size-max 0: expected at least 1 MiB");
        ensure!(self.push_mib_max > 0, "--push-size-max 0: expected at least 1 MiB");
        Ok(())
    }

    /// The bundle to hand to builds.
    pub fn bundle(&self) -> anyhow::Result<Option<PathBuf>> {
        let path = match self.ca_bundle.as_deref() {
            Some("none") => return Ok(None),
            Some(given) => PathBuf::from(given),
            None => {
                let host = PathBuf::from(HOST_CA_BUNDLE);
                return Ok(host.is_file().then_some(host));
            }
        };
        std::fs::metadata(&path).with_context(|| format!("--build-ca-bundle {}", path.display()))?;
        Ok(Some(path))
    }

    /// The host's proxy and mirror variables, then those given by name.
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
