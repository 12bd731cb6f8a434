//! Settings of proofs that users control the domains that they add.

use std::str::FromStr;

use anyhow::ensure;
use controller::dns::{DnsServer, DnsServers, SERVERS_MAX};

#[derive(Debug, Clone, clap::Args)]
pub struct DomainProofSettings {
    /// Proof that the owner of an app controls a domain, before it is added: `txt` wants a TXT record in the domain's
    /// DNS zone, `off` none. Domains that apps have already stay.
    #[arg(long, env = "WORKFLOW_DOMAIN_PROOF", default_value = "off")]
    pub domain_proof: DomainProofKind,

    /// DNS servers that are asked for proofs, such as `192.0.2.53` or `[2001:db8::53]:5353`, joined by commas
    /// [default: those of /etc/resolv.conf].
    #[arg(long, env = "WORKFLOW_DNS_SERVERS", value_delimiter = ',')]
    pub dns_servers: Vec<DnsServer>,
}

/// What proves a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DomainProofKind {
    Off,
    Txt,
}

impl FromStr for DomainProofKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Off),
            "txt" => Ok(Self::Txt),
            other => Err(format!("proof `{other}` is unknown, use `txt` or `off`")),
        }
    }
}

impl DomainProofSettings {
    pub fn check(&self) -> anyhow::Result<()> {
        let count = self.dns_servers.len();
        ensure!(count <= SERVERS_MAX, "--dns-servers: expected at most {SERVERS_MAX} servers, not {count}");
        Ok(())
    }

    /// Servers to ask; `None` where no proof is wanted.
    pub fn servers(&self) -> Option<DnsServers> {
        match (self.domain_proof, self.dns_servers.as_slice()) {
            (DomainProofKind::Off, _) => None,
            (DomainProofKind::Txt, []) => Some(DnsServers::System),
            (DomainProofKind::Txt, listed) => Some(DnsServers::Listed(listed.to_vec())),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Only {
        #[command(flatten)]
        settings: DomainProofSettings,
    }

    fn servers(arguments: &[&str]) -> Option<DnsServers> {
        Only::parse_from([&["up"], arguments].concat()).settings.servers()
    }

    #[test]
    fn no_proof_is_wanted_unless_the_operator_asks_for_one() {
        let listed = ["192.0.2.53", "[2001:db8::53]:5353"].map(|text| text.parse().expect("a server"));

        assert_eq!(servers(&[]), None);
        assert_eq!(servers(&["--dns-servers", "192.0.2.53"]), None);
        assert_eq!(servers(&["--domain-proof", "txt"]), Some(DnsServers::System));
        assert_eq!(
            servers(&["--domain-proof", "txt", "--dns-servers", "192.0.2.53,[2001:db8::53]:5353"]),
            Some(DnsServers::Listed(listed.to_vec()))
        );
    }
}
