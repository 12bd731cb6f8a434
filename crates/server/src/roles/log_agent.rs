//! `workflow log-agent`: on each node, sends what the containers of apps say to the logger.

use std::path::PathBuf;

use logger::agent::{self, AgentSettings};

use super::RoleSettings;
use crate::health;
use crate::process::{self, Process};
use crate::settings::{LinesSettings, Namespaces};

/// Sends the lines of this node's app containers to the logger.
#[derive(Debug, Clone, clap::Args)]
pub struct LogAgentRole {
    /// Name of the node.
    #[arg(long, env = "NODE_NAME")]
    node: String,

    /// Folder with the logs of the node's containers.
    #[arg(long, env = "WORKFLOW_CONTAINER_LOGS_DIR", default_value = "/var/log/containers")]
    container_logs_dir: PathBuf,

    /// Folder on the node for the positions in the logs.
    #[arg(long, env = "WORKFLOW_DATA_DIR", default_value = "/var/lib/workflow")]
    data_dir: PathBuf,

    #[command(flatten)]
    namespaces: Namespaces,

    #[command(flatten)]
    lines: LinesSettings,

    #[command(flatten)]
    role: RoleSettings,
}

impl LogAgentRole {
    pub fn check(&self) -> anyhow::Result<()> {
        self.lines.client().map(drop)
    }

    pub fn run(&self) -> anyhow::Result<()> {
        process::run(self.serve())
    }

    async fn serve(&self) -> anyhow::Result<()> {
        let mut process = Process::new()?;
        let client = engine_kubernetes::connect().await?;
        let pods = engine_kubernetes::watch_node_pods(client, &self.node, &self.namespaces.namespace_prefix);
        self.role.add_health(&mut process, health::always()).await?;
        let agent = agent::run(self.settings(), self.lines.client()?, pods, process.stopping());
        process.add("log agent", agent);
        tracing::info!("reading {} on {}", self.container_logs_dir.display(), self.node);
        process.run(self.role.stop_timeout()).await
    }

    fn settings(&self) -> AgentSettings {
        AgentSettings {
            logs_dir: self.container_logs_dir.clone(),
            positions_file: self.data_dir.join("positions.json"),
        }
    }
}
