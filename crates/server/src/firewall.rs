//! `workflow firewall`: what the helper container of the firewall runs.

use anyhow::Context as _;
use engine_docker::firewall::{self, FirewallSpec};

#[derive(Debug, Clone, clap::Args)]
pub struct FirewallCommand {
    /// The rules to keep, as the engine writes them.
    #[arg(long, required_unless_present = "remove")]
    spec: Option<String>,

    /// Use iptables although the kernel has nftables.
    #[arg(long)]
    iptables: bool,

    /// Name of the rules to remove.
    #[arg(long, conflicts_with = "spec")]
    remove: Option<String>,
}

impl FirewallCommand {
    pub fn run(&self) -> anyhow::Result<()> {
        if let Some(name) = &self.remove {
            return firewall::Firewall::remove(name).context("cannot remove the firewall's rules");
        }
        let spec: FirewallSpec = serde_json::from_str(self.spec.as_deref().unwrap_or_default())
            .context("--spec: expected what the engine writes")?;
        match firewall::keep(spec, self.iptables).context("cannot keep the firewall's rules")? {}
    }
}
