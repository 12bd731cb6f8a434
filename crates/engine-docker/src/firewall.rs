//! The firewall of one machine: containers of the platform reach no metadata service of a cloud and none of the
//! platform's own ports, and other services of the host only as far as the operator wants.
//!
//! The rules are a table of our own (nftables), or chains of our own where the kernel has no nftables (iptables).
//! They see packets before Docker rewrites any address, concern what comes in from the platform's bridges and
//! nothing else, and are put back when they are gone. Where this process may not change the kernel's rules, a
//! helper container does.

mod helper;
mod iptables;
mod netlink;
mod nftables;
mod rules;

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use bollard::query_parameters::ListNetworksOptionsBuilder;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use super::jobs::message;
use super::{Inner, Reach, names};

/// Interval at which the rules are checked, and restored if they are not whole.
const RECONCILE_EVERY: Duration = Duration::from_secs(2);
/// Longest pause between attempts that fail.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// Docker's default network, whose bridge shows whether the daemon's network namespace is ours.
const DEFAULT_NETWORK: &str = "bridge";

/// Settings that close the host to containers.
#[derive(Debug, Clone)]
pub struct FirewallSettings {
    /// TCP ports of the platform's internal listeners: always closed.
    pub closed_ports: BTreeSet<u16>,
    /// Ports of the platform's public listeners: always open.
    pub public_ports: BTreeSet<u16>,
    /// Other services of the host.
    pub host_services: HostServices,
}

/// Services of the host that containers reach by any of its addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HostServices {
    Open,
    /// These TCP and UDP ports, which may be none.
    Only(BTreeSet<u16>),
}

impl FromStr for HostServices {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "open" => Ok(Self::Open),
            "none" => Ok(Self::Only(BTreeSet::new())),
            list => {
                let ports =
                    list.split(',').map(|port| port.trim().parse::<u16>().ok().filter(|port| *port > 0));
                let ports: Option<BTreeSet<_>> = ports.collect();
                ports.map(Self::Only).ok_or_else(|| {
                    format!("`{text}`: expected open, none, or ports of the host such as 53,5432")
                })
            }
        }
    }
}

/// All that the rules depend on. The same spec gives the same rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirewallSpec {
    /// Name of the table, and first part of the names of chains.
    pub name: String,
    /// Bridges of this platform: names, or beginnings of names that end in `*`.
    pub bridges: BTreeSet<String>,
    pub closed_ports: BTreeSet<u16>,
    pub public_ports: BTreeSet<u16>,
    pub host_services: HostServices,
}

/// Rules that could not be changed.
#[derive(Debug, thiserror::Error)]
pub enum FirewallError {
    /// Only root with CAP_NET_ADMIN may: a helper container can.
    #[error("this process may not change the firewall (it lacks CAP_NET_ADMIN)")]
    Forbidden,
    /// The kernel lacks what the rules need.
    #[error("the kernel's nftables refused the rules: {0}")]
    Unsupported(std::io::Error),
    #[error("cannot {what}: {source}")]
    Io { what: String, source: std::io::Error },
    #[error("{program} failed: {reason}")]
    Program { program: String, reason: String },
}

/// Owner of the rules.
enum FirewallBackend {
    Nftables(nftables::Nftables),
    Iptables(iptables::Iptables),
}

/// The rules of a spec in the kernel, by the backend that works here.
pub struct Firewall {
    spec: FirewallSpec,
    backend: FirewallBackend,
}

impl Firewall {
    /// Puts the rules in force, by nftables or else by iptables.
    ///
    /// # Errors
    ///
    /// [`FirewallError::Forbidden`] where a helper container could.
    pub fn apply(spec: FirewallSpec) -> Result<Self, FirewallError> {
        Self::apply_by(spec, false)
    }

    /// As [`Firewall::apply`], by iptables alone if asked.
    fn apply_by(spec: FirewallSpec, iptables_only: bool) -> Result<Self, FirewallError> {
        if iptables_only {
            let backend = FirewallBackend::Iptables(iptables::Iptables::apply(&spec)?);
            return Ok(Self { spec, backend });
        }
        let backend = match nftables::Nftables::apply(&spec) {
            Ok(backend) => FirewallBackend::Nftables(backend),
            Err(FirewallError::Unsupported(error)) => {
                tracing::info!(%error, "the firewall uses iptables: nftables does not take its rules");
                FirewallBackend::Iptables(iptables::Iptables::apply(&spec)?)
            }
            Err(error) => return Err(error),
        };
        Ok(Self { spec, backend })
    }

    /// Puts the rules back where they are not whole; returns whether that was needed.
    pub fn reconcile(&mut self) -> Result<bool, FirewallError> {
        let is_whole = match &self.backend {
            FirewallBackend::Nftables(backend) => backend.is_whole(&self.spec)?,
            FirewallBackend::Iptables(backend) => backend.is_whole()?,
        };
        if !is_whole {
            let iptables_only = matches!(self.backend, FirewallBackend::Iptables(_));
            self.backend = Self::apply_by(self.spec.clone(), iptables_only)?.backend;
        }
        Ok(!is_whole)
    }

    /// Returns true if there are rules of that name.
    pub fn in_force(name: &str) -> Result<bool, FirewallError> {
        Ok(nftables::has_rules(name)? || iptables::has_rules(name))
    }

    /// Takes the rules of that name away, whatever holds them; there may be none.
    pub fn remove(name: &str) -> Result<(), FirewallError> {
        match nftables::remove(name) {
            Err(FirewallError::Unsupported(_)) | Ok(()) => {}
            Err(error) => return Err(error),
        }
        iptables::remove(name)
    }
}

/// Keeps the rules of a spec in force for as long as this process lives: the helper container's work.
pub fn keep(spec: FirewallSpec, iptables_only: bool) -> Result<std::convert::Infallible, FirewallError> {
    let mut firewall = Firewall::apply_by(spec, iptables_only)?;
    loop {
        std::thread::sleep(RECONCILE_EVERY);
        if firewall.reconcile()? {
            tracing::warn!("the firewall's rules were gone or changed; they are back");
        }
    }
}

/// Table and chains of this instance.
pub fn name(instance: &str) -> String {
    format!("deis-{}", names::bridge_prefix(instance))
}

/// Applies the firewall and keeps it applied; failures are logged once.
pub(super) async fn start(inner: &Arc<Inner>) {
    let Some(settings) = inner.settings.firewall.clone() else { return };
    if settings.host_services == HostServices::Open {
        tracing::warn!(
            "builds and apps can reach services of this machine that listen on more than loopback; \
             `--host-services none`, or a list of ports, closes them"
        );
    }
    let spec = spec(inner, &settings).await;
    let firewall = match is_namespace_shared(inner).await {
        true => blocking(move || Firewall::apply(spec)).await,
        false => Err(FirewallError::Forbidden),
    };
    match firewall {
        Ok(firewall) => {
            *inner.firewall.lock().await = Some(firewall);
            inner.spawn(watch(Arc::clone(&inner.firewall)));
        }
        Err(FirewallError::Forbidden) => helper::start(inner, &settings).await,
        Err(error) => warn_open(&error),
    }
}

/// Takes the rules away, once nothing runs any more that they concern.
pub(super) async fn stop(inner: &Inner) {
    if inner.settings.firewall.is_none() {
        return;
    }
    // Nobody puts them back any more.
    inner.firewall.lock().await.take();
    let name = name(&inner.settings.instance);
    if helper::remove(inner, &name).await {
        return;
    }
    if let Err(error) = blocking(move || Firewall::remove(&name)).await
        && !matches!(error, FirewallError::Forbidden)
    {
        tracing::warn!(error = &error as &dyn std::error::Error, "cannot remove the firewall's rules");
    }
}

fn warn_open(error: &(dyn std::error::Error + 'static)) {
    tracing::warn!(
        error,
        "metadata services and the platform's internal ports are not closed to builds and apps: run the \
         platform as root, or block them by a firewall of your own"
    );
}

/// The rules as they must be now. Networks of older versions have bridges that Docker named.
async fn spec(inner: &Inner, settings: &FirewallSettings) -> FirewallSpec {
    let instance = &inner.settings.instance;
    let mut bridges = BTreeSet::from([format!("{}*", names::bridge_prefix(instance))]);
    match bridges_named_by_docker(inner, instance).await {
        Ok(named) => bridges.extend(named),
        Err(error) => tracing::warn!(error = message(&error), "cannot list networks for the firewall"),
    }
    let FirewallSettings { closed_ports, public_ports, host_services } = settings.clone();
    FirewallSpec { name: name(instance), bridges, closed_ports, public_ports, host_services }
}

async fn bridges_named_by_docker(
    inner: &Inner,
    instance: &str,
) -> Result<Vec<String>, bollard::errors::Error> {
    let filters = HashMap::from([("label", vec![format!("{}={instance}", names::INSTANCE_LABEL)])]);
    let options = ListNetworksOptionsBuilder::default().filters(&filters).build();
    let networks = inner.client.list_networks(Some(options)).await?;
    let unnamed = networks
        .into_iter()
        .filter(|network| !network.options.iter().flatten().any(|(name, _)| name == names::BRIDGE_OPTION));
    Ok(unnamed.filter_map(|network| Some(format!("br-{}", network.id?.get(..12)?))).collect())
}

/// Returns true if Docker's bridges are in this process's network namespace.
async fn is_namespace_shared(inner: &Inner) -> bool {
    if inner.reach != Reach::Direct {
        return false;
    }
    let socket = inner.socket.clone();
    if let Ok(Ok(Some(is_shared))) = tokio::task::spawn_blocking(move || shares_namespace(&socket)).await {
        return is_shared;
    }
    let Ok(network) = inner.client.inspect_network(DEFAULT_NETWORK, None).await else { return true };
    let bridge = network.options.and_then(|mut options| options.remove(names::BRIDGE_OPTION));
    bridge.is_none_or(|bridge| Path::new("/sys/class/net").join(bridge).exists())
}

/// Returns true if the listener on Docker's socket has our network namespace; `None` if that is unknown. The
/// default bridge tells less: it may have been removed, and comes back only with Docker's next start.
fn shares_namespace(socket: &str) -> std::io::Result<Option<bool>> {
    let path = socket.strip_prefix("unix://").unwrap_or(socket);
    let stream = std::os::unix::net::UnixStream::connect(path)?;
    let peer = nix::sys::socket::getsockopt(&stream, nix::sys::socket::sockopt::PeerCredentials)?.pid();
    let namespace = |process: &str| std::fs::read_link(format!("/proc/{process}/ns/net"));
    match namespace(&peer.to_string()) {
        Ok(theirs) => Ok(Some(theirs == namespace("self")?)),
        // Of another PID namespace, or nobody's to see.
        Err(_) => Ok(None),
    }
}

/// Looks at the rules until they are given up.
async fn watch(kept: Arc<Mutex<Option<Firewall>>>) {
    let mut pause = RECONCILE_EVERY;
    let mut is_failing = false;
    loop {
        tokio::time::sleep(pause).await;
        let mut kept = kept.lock().await;
        let Some(mut firewall) = kept.take() else { return };
        let result = blocking(move || {
            let result = firewall.reconcile();
            Ok((firewall, result))
        });
        let Ok((firewall, result)) = result.await else { return };
        *kept = Some(firewall);
        match result {
            Ok(was_broken) => {
                if was_broken {
                    tracing::warn!("the firewall's rules were gone or changed; they are back");
                }
                (pause, is_failing) = (RECONCILE_EVERY, false);
            }
            Err(error) => {
                if !is_failing {
                    warn_open(&error);
                }
                (pause, is_failing) = ((pause * 2).min(PAUSE_MAX), true);
            }
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, FirewallError> + Send + 'static,
) -> Result<T, FirewallError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        Err(FirewallError::Io { what: "change the firewall".to_owned(), source: error.into() })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_services_are_open_none_or_ports() {
        let only = |ports: &[u16]| HostServices::Only(ports.iter().copied().collect());
        assert_eq!("open".parse(), Ok(HostServices::Open));
        assert_eq!("none".parse(), Ok(only(&[])));
        assert_eq!("53, 5432".parse(), Ok(only(&[53, 5432])));
        for bad in ["", "all", "0", "53,", "65536", "-1"] {
            assert!(bad.parse::<HostServices>().is_err(), "{bad:?}");
        }
    }
}
