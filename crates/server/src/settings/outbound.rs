//! Addresses that users name, and which of them the platform connects to.

use anyhow::anyhow;
use domain::outbound::{OutboundException, OutboundPolicy};

#[derive(Debug, Clone, clap::Args)]
pub struct OutboundSettings {
    /// Hosts that users may have the platform connect to besides the public Internet: ranges, hosts or host:port;
    /// may be given several times.
    #[arg(long, env = "WORKFLOW_ALLOW_OUTBOUND", value_delimiter = ',')]
    pub allow_outbound: Vec<OutboundException>,

    /// Registries of others that speak plain HTTP, `host` or `host:port`; they count as allowed; may be given
    /// several times.
    #[arg(long, env = "WORKFLOW_INSECURE_REGISTRIES", value_delimiter = ',')]
    pub insecure_registry: Vec<String>,
}

impl OutboundSettings {
    /// # Errors
    /// A registry that is no host.
    pub fn policy(&self) -> anyhow::Result<OutboundPolicy> {
        let mut allowed = self.allow_outbound.clone();
        for registry in &self.insecure_registry {
            allowed.push(registry.parse().map_err(|error: String| anyhow!("--insecure-registry {error}"))?);
        }
        Ok(OutboundPolicy::new(allowed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_without_tls_counts_as_allowed() {
        let policy = |registry: &str| {
            let insecure_registry = vec![registry.to_owned()];
            OutboundSettings { allow_outbound: Vec::new(), insecure_registry }.policy()
        };

        assert!(policy("10.240.0.1:5002").expect("a host").lists("10.240.0.1", 5002));
        assert!(policy("http://x").is_err());
    }
}
