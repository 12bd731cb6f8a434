//! `workflow registry-proxy`: on each node, the registry as the node's own loopback.

use std::net::{Ipv4Addr, SocketAddr};

use registry::NodeProxySettings;

use super::{RoleSettings, cancelled_by};
use crate::health;
use crate::process::{self, Process};

/// Makes the registry a port of this node, to which container engines speak plain HTTP.
#[derive(Debug, Clone, clap::Args)]
pub struct RegistryProxyRole {
    /// Address and port on the node.
    #[arg(
        long,
        env = "WORKFLOW_REGISTRY_PROXY_LISTEN",
        default_value_t = SocketAddr::from((Ipv4Addr::LOCALHOST, 5555))
    )]
    listen: SocketAddr,

    /// Host and port of the registry.
    #[arg(
        long,
        env = "WORKFLOW_REGISTRY_ADDRESS",
        default_value = "deis-registry.deis.svc.cluster.local:80"
    )]
    registry: String,

    #[command(flatten)]
    role: RoleSettings,
}

impl RegistryProxyRole {
    pub fn check(&self) -> anyhow::Result<()> {
        let has_port = self.registry.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        anyhow::ensure!(has_port, "--registry `{}`: expected host:port", self.registry);
        Ok(())
    }

    pub fn run(&self) -> anyhow::Result<()> {
        process::run(self.serve())
    }

    async fn serve(&self) -> anyhow::Result<()> {
        let mut process = Process::new()?;
        let listener = process::bind("--listen", self.listen).await?;
        let settings = NodeProxySettings {
            drain: self.role.drain_timeout(),
            ..NodeProxySettings::new(self.registry.clone())
        };
        let stop = cancelled_by(process.stopping());
        process.add_plain("proxy", async move { registry::run_node_proxy(&settings, listener, stop).await });
        self.role.add_health(&mut process, health::always()).await?;
        tracing::info!("{} on this node is {}", self.listen, self.registry);
        process.run(self.role.stop_timeout()).await
    }
}
