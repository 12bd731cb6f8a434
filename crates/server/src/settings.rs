//! Settings of the platform: each is a flag and an environment variable, checked before anything starts. The
//! only reader of the platform's environment.
//!
//! Here are those of one machine; those of the roles of a cluster are beside the roles. What both have in
//! common is a group: [`ApiSettings`], [`BuildSettings`].

mod acme;
mod api;
mod build;
mod cluster;
mod connections;
mod deploys;
mod domain_proofs;
mod edge;
mod ldap;
mod lines;
mod outbound;
mod secret;
mod stacks;

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context as _, bail, ensure};
use engine_docker::firewall::HostServices;

pub use acme::AcmeArguments;
pub use api::{ApiSettings, check_domain};
pub use build::BuildSettings;
pub use cluster::{ClusterSettings, Namespaces};
pub use connections::ConnectionSettings;
pub use deploys::DeployRules;
pub use domain_proofs::DomainProofSettings;
pub use edge::{EdgeArguments, OptionalListen};
pub use ldap::LdapSettings;
pub use lines::{LinesSettings, OptionalLines};
pub use outbound::OutboundSettings;
pub use secret::{DatabaseFlags, given_or_in, key_in, sealing_keys_in};
pub use stacks::StackSettings;

/// Least bound of a container's disk.
const DISK_BYTES_MIN: u64 = 16 << 20;
/// Trusted authorities of the machine on Debian and its relatives.
const HOST_CA_BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Runs the whole platform on this machine with Docker.
///
/// Example: `workflow up`, then `deis register http://deis.localhost:8000`.
#[derive(Debug, Clone, clap::Args)]
pub struct UpSettings {
    /// Folder for the database, keys, repositories and logs; made with mode 0700.
    #[arg(long, env = "WORKFLOW_DATA_DIR", default_value_os_t = default_data_dir())]
    pub data_dir: PathBuf,

    /// Address and port of HTTP, for apps and API.
    #[arg(long, env = "WORKFLOW_HTTP_LISTEN", default_value = "127.0.0.1:8000")]
    pub http_listen: SocketAddr,

    /// Address and port of SSH, for git.
    #[arg(long, env = "WORKFLOW_SSH_LISTEN", default_value = "127.0.0.1:2222")]
    pub ssh_listen: SocketAddr,

    /// Database: `sqlite:///path/file.db` or `postgres://user:password@host/name` [default: SQLite in the data folder].
    #[arg(long, env = "WORKFLOW_DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<String>,

    /// Docker's socket [default: what DOCKER_HOST says, else /var/run/docker.sock].
    #[arg(long, env = "WORKFLOW_DOCKER_SOCKET")]
    pub docker_socket: Option<PathBuf>,

    /// Range from which each app's network takes a /26.
    #[arg(long, env = "WORKFLOW_NETWORK_RANGE", default_value = "10.213.0.0/16")]
    pub network_range: String,

    /// Label of this machine that apps' tags can ask for, `name=value`; may be given several times.
    #[arg(long = "node-label", env = "WORKFLOW_NODE_LABELS", value_delimiter = ',')]
    pub node_labels: Vec<String>,

    /// Most processes and threads of one replica.
    #[arg(long, env = "WORKFLOW_PIDS_MAX", default_value_t = 1024)]
    pub pids_max: u32,

    /// Bytes that one replica, or one-off process, may write to its disk, such as `512M`; `none` sets no limit.
    #[arg(long, env = "WORKFLOW_REPLICA_DISK", default_value = "10G")]
    pub replica_disk: String,

    /// Services of this machine that builds and apps reach by its addresses: `open`, `none`, or ports such as
    /// `53,5432`. Metadata services of clouds and the platform's internal ports are always closed.
    #[arg(long, env = "WORKFLOW_HOST_SERVICES", default_value = "open")]
    pub host_services: HostServices,

    /// Lines kept of each app's log.
    #[arg(long, env = "NUMBER_OF_LINES", default_value_t = 1_000)]
    pub log_lines: usize,

    /// Seconds that a request waits for a first ready replica.
    #[arg(long, env = "WORKFLOW_HOLD_TIMEOUT", default_value_t = 10)]
    pub hold_timeout: u64,

    /// Seconds that stopping may take, requests under way included.
    #[arg(long, env = "WORKFLOW_STOP_TIMEOUT", default_value_t = 20)]
    pub stop_timeout: u64,

    /// Write a systemd unit that runs the platform with these settings, start it, and end.
    #[arg(long)]
    pub install: bool,

    /// PEM bundle of authorities that builds trust; `none` leaves the stack's own [default: this machine's].
    #[arg(long, env = "WORKFLOW_BUILD_CA_BUNDLE")]
    pub build_ca_bundle: Option<String>,

    /// Most processes and threads of one build.
    #[arg(long, env = "WORKFLOW_BUILD_PIDS_MAX", default_value_t = 2_048)]
    pub build_pids_max: u32,

    /// Image of Docker that Dockerfiles may name in FROM, COPY --from and the like, besides the stack image and
    /// what registries give to everyone; may be given several times.
    #[arg(long = "base-image", env = "WORKFLOW_BASE_IMAGES", value_delimiter = ',')]
    pub base_images: Vec<String>,

    /// Largest build cache of one app in MiB; a larger one is not kept.
    #[arg(long, env = "WORKFLOW_BUILD_CACHE_SIZE_MAX", default_value_t = 4_096)]
    pub build_cache_size_max: u64,

    /// Build caches of all apps in MiB; those that were not used for the longest time go first.
    #[arg(long, env = "WORKFLOW_BUILD_CACHES_SIZE_MAX", default_value_t = 20_480)]
    pub build_caches_size_max: u64,

    /// Most build caches.
    #[arg(long, env = "WORKFLOW_BUILD_CACHES_MAX", default_value_t = 100)]
    pub build_caches_max: usize,

    #[command(flatten)]
    pub api: ApiSettings,

    #[command(flatten)]
    pub build: BuildSettings,

    #[command(flatten)]
    pub edge: EdgeArguments,

    #[command(flatten)]
    pub connections: ConnectionSettings,

    #[command(flatten)]
    pub outbound: OutboundSettings,
}

impl UpSettings {
    /// Checks what clap cannot: a wrong value is named before anything starts.
    pub fn check(&self) -> anyhow::Result<()> {
        self.check_ports()?;
        self.connections.check()?;
        parse_network(&self.network_range)?;
        for label in &self.node_labels {
            ensure!(label.contains('='), "--node-label `{label}`: expected name=value");
        }
        if let Some(url) = &self.database_url {
            check_database_url(url)?;
        }
        check_log_lines(self.log_lines)?;
        ensure!(self.pids_max >= 16, "--pids-max {}: expected at least 16", self.pids_max);
        let build_pids = self.build_pids_max;
        ensure!(build_pids >= 64, "--build-pids-max {build_pids}: expected at least 64");
        for (flag, mib) in [
            ("--build-cache-size-max", self.build_cache_size_max),
            ("--build-caches-size-max", self.build_caches_size_max),
        ] {
            ensure!(mib >= 64, "{flag} {mib}: expected at least 64 MiB");
        }
        ensure!(self.build_caches_max > 0, "--build-caches-max 0: expected at least 1");
        for image in &self.base_images {
            let parsed = domain::image_reference::ImageReference::parse(image);
            parsed.with_context(|| format!("--base-image `{image}`"))?;
        }
        disk_bytes("--replica-disk", &self.replica_disk)?;
        self.build_ca_bundle()?;
        self.outbound.policy()?;
        self.api.check()?;
        self.edge.check()?;
        self.build.check()
    }

    fn check_ports(&self) -> anyhow::Result<()> {
        let listeners = [
            ("--http-listen", Some(self.http_listen)),
            ("--https-listen", self.edge.https_listen.0),
            ("--ssh-listen", Some(self.ssh_listen)),
            ("--metrics-listen", self.edge.metrics_listen.0),
        ];
        for (position, (flag, address)) in listeners.iter().enumerate() {
            let Some(address) = address.filter(|address| address.port() != 0) else { continue };
            let same = listeners[position + 1..].iter().find(|(_, other)| *other == Some(address));
            if let Some((other, _)) = same {
                bail!("{flag} and {other} are both {address}: give each its own port");
            }
        }
        Ok(())
    }

    /// The bundle to hand to builds.
    pub fn build_ca_bundle(&self) -> anyhow::Result<Option<PathBuf>> {
        let path = match self.build_ca_bundle.as_deref() {
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
}

/// A bound of a disk, as users write limits of memory.
pub fn disk_bytes(flag: &str, text: &str) -> anyhow::Result<Option<u64>> {
    if text.trim() == "none" {
        return Ok(None);
    }
    let (request, bytes) = domain::config::memory_bytes(text.trim());
    ensure!(
        request == 0 && bytes >= DISK_BYTES_MIN,
        "{flag} `{text}`: expected at least 16M, such as 512M or 10G, or none"
    );
    Ok(Some(bytes))
}

pub fn check_database_url(url: &str) -> anyhow::Result<()> {
    let known = ["sqlite:", "postgres:", "postgresql:"].iter().any(|scheme| url.starts_with(scheme));
    ensure!(known, "--database-url: expected sqlite:///path/file.db or postgres://…");
    Ok(())
}

pub fn check_log_lines(lines: usize) -> anyhow::Result<()> {
    ensure!((1..=100_000).contains(&lines), "--log-lines {lines}: expected 1 to 100000");
    Ok(())
}

/// Checks a range of IPv4 addresses: private networks of apps are cut from it.
fn parse_network(text: &str) -> anyhow::Result<()> {
    let parse = || -> Option<(std::net::Ipv4Addr, u8)> {
        let (address, bits) = text.split_once('/')?;
        Some((address.parse().ok()?, bits.parse().ok()?))
    };
    let (_, bits) =
        parse().with_context(|| format!("--network-range `{text}`: expected such as 10.213.0.0/16"))?;
    ensure!((8..=24).contains(&bits), "--network-range `{text}`: expected a prefix of 8 to 24 bits");
    Ok(())
}

/// The system's folder for root, else the user's own (XDG Base Directory Specification).
pub fn default_data_dir() -> PathBuf {
    if nix::unistd::geteuid().is_root() {
        return PathBuf::from("/var/lib/workflow");
    }
    let data_home = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/share"));
    data_home.or_else(home).unwrap_or_else(|| PathBuf::from("/tmp")).join("workflow")
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Only {
        #[command(flatten)]
        settings: UpSettings,
    }

    fn check(arguments: &[&str]) -> Result<(), String> {
        let only = Only::try_parse_from([&["up"], arguments].concat()).map_err(|error| error.to_string())?;
        only.settings.check().map_err(|error| error.to_string())
    }

    #[test]
    fn the_defaults_are_good() {
        assert_eq!(check(&[]), Ok(()));
    }

    #[test]
    fn a_wrong_value_is_refused_with_the_name_of_its_flag() {
        for (arguments, named) in [
            (vec!["--domain", "no spaces"], "--domain"),
            (vec!["--domain", "UPPER.com"], "--domain"),
            (vec!["--http-listen", "8000"], "--http-listen"),
            (vec!["--http-listen", "127.0.0.1:1", "--ssh-listen", "127.0.0.1:1"], "--ssh-listen"),
            (vec!["--https-listen", "8443"], "--https-listen"),
            (vec!["--http-listen", "127.0.0.1:1", "--https-listen", "127.0.0.1:1"], "--https-listen"),
            (vec!["--platform-cert", "cert.pem"], "--platform-key"),
            (vec!["--router-setting", "bodySize"], "--router-setting"),
            (vec!["--router-setting", "bodySize=big"], "bodySize"),
            (vec!["--router-setting", "bodysize=1m"], "bodysize"),
            (vec!["--app-setting", "bodySize=1m"], "--app-setting"),
            (vec!["--app-setting", "No App:bodySize=1m"], "--app-setting"),
            (vec!["--app-setting", "blog:bodySize=big"], "blog:bodySize"),
            (vec!["--app-setting", "blog:requestIDs=true"], "requestIDs"),
            (vec!["--network-range", "10.0.0.0/30"], "--network-range"),
            (vec!["--host-services", "all"], "--host-services"),
            (vec!["--replica-disk", "1M"], "--replica-disk"),
            (vec!["--default-memory", "1X"], "--default-memory"),
            (vec!["--default-memory", "1M"], "--default-memory"),
            (vec!["--builds-kept", "0"], "--builds-kept"),
            (vec!["--node-label", "ssd"], "--node-label"),
            (vec!["--database-url", "mysql://x"], "--database-url"),
            (vec!["--log-lines", "0"], "--log-lines"),
            (vec!["--allow-outbound", "http://x"], "--allow-outbound"),
            (vec!["--password-policy", "maybe"], "--password-policy"),
            (vec!["--app-domains-max", "0"], "--app-domains-max"),
            (vec!["--dns-servers", "192.0.2.1,192.0.2.2,192.0.2.3,192.0.2.4"], "--dns-servers"),
            (vec!["--build-env", "NOVALUE"], "--build-env"),
            (vec!["--git-memory", "64"], "--git-memory"),
            (vec!["--ssh-trusted-proxies", "lan"], "--ssh-trusted-proxies"),
            (vec!["--build-ca-bundle", "/does/not/exist"], "--build-ca-bundle"),
        ] {
            let error = check(&arguments).expect_err(named);
            assert!(error.contains(named), "{arguments:?}: {error}");
        }
    }
}
