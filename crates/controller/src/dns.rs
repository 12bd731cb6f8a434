//! TXT records, looked up in the DNS.
//!
//! Nothing is cached, so that a record counts once the servers have it, and the list of the system's servers is read
//! for each lookup. Answers are trusted as the servers give them: DNSSEC is validated by the servers, or by nobody.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::ProtoError;
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData};
use tokio::time::timeout;

/// Longest wait for an answer. Servers that are asked one after the other have equal parts of it.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);
/// Tries at each server.
const TRIES: u32 = 2;
/// Servers that are asked, of those that the system or the operator lists; as many as the C library uses.
pub const SERVERS_MAX: usize = 3;
const RESOLV_CONF: &str = "/etc/resolv.conf";
const PORT: u16 = 53;

/// DNS servers to be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DnsServers {
    /// Those of `/etc/resolv.conf`.
    System,
    /// These.
    Listed(Vec<DnsServer>),
}

/// Address of a DNS server, with a port unless it is 53.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DnsServer(SocketAddr);

/// A lookup without an answer. Trying again may help.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    #[error("cannot read the DNS servers in {RESOLV_CONF}")]
    Servers(#[source] std::io::Error),
    #[error("no DNS server answered within {LOOKUP_TIMEOUT:?}")]
    TimedOut,
    #[error("`{name}` is no name in the DNS")]
    Name { name: String, source: ProtoError },
    #[error("no DNS server gave an answer")]
    Failed(#[source] NetError),
}

impl From<SocketAddr> for DnsServer {
    fn from(address: SocketAddr) -> Self {
        Self(address)
    }
}

impl FromStr for DnsServer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bare = text.parse::<IpAddr>().map(|address| SocketAddr::new(address, PORT));
        let address = bare.or_else(|_| text.parse());
        let wrong =
            |_| format!("`{text}` is no address of a DNS server, such as 192.0.2.53 or [2001:db8::53]:5353");
        address.map(Self).map_err(wrong)
    }
}

impl DnsServers {
    /// The texts of all TXT records with this name; none where it does not exist, or has no such records. They are at
    /// most as long as an answer, which is 64 KiB.
    ///
    /// # Errors
    ///
    /// [`LookupError`] where no server says what there is.
    pub(crate) async fn txt_records(&self, name: &str) -> Result<Vec<Vec<u8>>, LookupError> {
        // The final dot keeps search domains away.
        let name = Name::from_ascii(format!("{name}."))
            .map_err(|source| LookupError::Name { name: name.to_owned(), source })?;
        let servers = self.addresses().await?;
        let timeout_of_one = LOOKUP_TIMEOUT / servers.len().max(1) as u32;
        let mut failure = LookupError::TimedOut;
        for server in servers {
            match timeout(timeout_of_one, ask(server, &name, timeout_of_one / TRIES)).await {
                Ok(Ok(texts)) => return Ok(texts),
                Ok(Err(error)) => failure = LookupError::Failed(error),
                Err(_) => failure = LookupError::TimedOut,
            }
        }
        Err(failure)
    }

    async fn addresses(&self) -> Result<Vec<SocketAddr>, LookupError> {
        let mut addresses: Vec<_> = match self {
            Self::Listed(servers) => servers.iter().map(|server| server.0).collect(),
            Self::System => system_servers().await.map_err(LookupError::Servers)?,
        };
        addresses.truncate(SERVERS_MAX);
        Ok(addresses)
    }
}

async fn system_servers() -> std::io::Result<Vec<SocketAddr>> {
    let text = tokio::fs::read(RESOLV_CONF).await?;
    // Options that are unknown here do not matter.
    let (config, _) = resolv_conf::Config::parse_with_errors(&text);
    let servers: Vec<_> =
        config.nameservers.iter().map(|address| SocketAddr::new(address.into(), PORT)).collect();
    if servers.is_empty() { Err(std::io::Error::other("it lists no nameserver")) } else { Ok(servers) }
}

/// Asks one server: the library tries a second one only while a first has time left.
async fn ask(server: SocketAddr, name: &Name, timeout_of_try: Duration) -> Result<Vec<Vec<u8>>, NetError> {
    match resolver(server, timeout_of_try)?.txt_lookup(name.clone()).await {
        Ok(found) => Ok(found.answers().iter().filter_map(|record| text(&record.data)).collect()),
        Err(error) if is_absence(&error) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn resolver(server: SocketAddr, timeout_of_try: Duration) -> Result<TokioResolver, NetError> {
    let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
    connections.iter_mut().for_each(|connection| connection.port = server.port());
    let server = NameServerConfig::new(server.ip(), true, connections);
    let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    let options = builder.options_mut();
    options.timeout = timeout_of_try;
    options.attempts = TRIES as usize - 1;
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never;
    builder.build()
}

/// Returns true if the server says that there is no such record. One that fails gives no records either.
fn is_absence(error: &NetError) -> bool {
    matches!(
        error,
        NetError::Dns(DnsError::NoRecordsFound(none))
            if matches!(none.response_code, ResponseCode::NXDomain | ResponseCode::NoError)
    )
}

/// A TXT record is one text in pieces of at most 255 bytes (RFC 7208, section 3.3).
fn text(record: &RData) -> Option<Vec<u8>> {
    match record {
        RData::TXT(text) => Some(text.txt_data.concat()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_an_address_with_or_without_a_port() {
        for (text, address) in [
            ("192.0.2.53", "192.0.2.53:53"),
            ("192.0.2.53:5353", "192.0.2.53:5353"),
            ("2001:db8::53", "[2001:db8::53]:53"),
            ("[2001:db8::53]:5353", "[2001:db8::53]:5353"),
        ] {
            let address: SocketAddr = address.parse().expect("an address");
            assert_eq!(text.parse(), Ok(DnsServer(address)), "{text}");
        }
        for text in ["", "dns.example.com", "192.0.2.53:", "192.0.2.53/32"] {
            assert!(text.parse::<DnsServer>().is_err(), "{text}");
        }
    }
}
