//! Resolves, checks, connects.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use domain::outbound::OutboundPolicy;
use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tower::Service;

/// Longest wait for the answer of the DNS, and for each connection.
const RESOLVE_MAX: Duration = Duration::from_secs(10);
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// Addresses of one host that are tried.
const ADDRESSES_MAX: usize = 8;

/// A refused connection. The text contains nothing of the resolved addresses: they would tell users what the
/// platform's own DNS knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutboundError {
    #[error(
        "{host} is no address that the platform connects to for users; the operator can list it with --allow-outbound"
    )]
    Address { host: String },
    #[error("{host} is reached by HTTPS only, unless the operator lists it with --allow-outbound")]
    Scheme { host: String },
    #[error("the address names no host")]
    NoHost,
}

/// Connects where a policy allows it. A clone shares the policy.
#[derive(Debug, Clone)]
pub struct Connector {
    policy: Arc<OutboundPolicy>,
}

impl Connector {
    pub fn new(policy: OutboundPolicy) -> Self {
        Self { policy: Arc::new(policy) }
    }

    /// Checks all that can be checked without the DNS.
    ///
    /// # Errors
    /// [`OutboundError`] for a scheme other than `https`, but for `http` to a host that the operator has listed.
    pub fn check(&self, uri: &Uri) -> Result<(), OutboundError> {
        let (host, port) = host_and_port(uri)?;
        let is_fine = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => self.policy.lists(host, port),
            _ => false,
        };
        if is_fine { Ok(()) } else { Err(OutboundError::Scheme { host: host.to_owned() }) }
    }

    /// Addresses of a host that may be connected to.
    ///
    /// # Errors
    /// [`OutboundError`], as an [`io::Error`], where there is none.
    pub async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let name = host.trim_start_matches('[').trim_end_matches(']');
        let found = match name.parse::<IpAddr>() {
            Ok(address) => vec![SocketAddr::new(address, port)],
            Err(_) => timeout(RESOLVE_MAX, tokio::net::lookup_host((name, port))).await??.collect(),
        };
        let own = own_addresses();
        let mut fine = found;
        fine.retain(|at| self.policy.admits(host, port, at.ip(), own.contains(&at.ip().to_canonical())));
        fine.truncate(ADDRESSES_MAX);
        if fine.is_empty() {
            return Err(io::Error::other(OutboundError::Address { host: host.to_owned() }));
        }
        Ok(fine)
    }

    async fn connect(&self, uri: &Uri) -> io::Result<TcpStream> {
        self.check(uri).map_err(io::Error::other)?;
        let (host, port) = host_and_port(uri).map_err(io::Error::other)?;
        let mut failure = io::ErrorKind::AddrNotAvailable.into();
        for address in self.resolve(host, port).await? {
            match timeout(CONNECT_MAX, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    stream.set_nodelay(true)?;
                    return Ok(stream);
                }
                Ok(Err(error)) => failure = error,
                Err(elapsed) => failure = elapsed.into(),
            }
        }
        Err(failure)
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<TcpStream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move { connector.connect(&uri).await.map(TokioIo::new) })
    }
}

fn host_and_port(uri: &Uri) -> Result<(&str, u16), OutboundError> {
    let host = uri.host().filter(|host| !host.is_empty()).ok_or(OutboundError::NoHost)?;
    let usual = if uri.scheme_str() == Some("http") { 80 } else { 443 };
    Ok((host, uri.port_u16().unwrap_or(usual)))
}

/// Addresses of this machine's interfaces; none where they cannot be listed, as private ones are closed anyway.
fn own_addresses() -> Vec<IpAddr> {
    let Ok(interfaces) = nix::ifaddrs::getifaddrs() else { return Vec::new() };
    let address = |interface: nix::ifaddrs::InterfaceAddress| {
        let address = interface.address?;
        let v4 = address.as_sockaddr_in().map(|it| IpAddr::from(it.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|it| it.ip().into()))
    };
    interfaces.filter_map(address).map(|address| address.to_canonical()).collect()
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    fn connector(allowed: &[String]) -> Connector {
        let allowed = allowed.iter().map(|text| text.parse().expect("a good allowance"));
        Connector::new(OutboundPolicy::new(allowed))
    }

    fn refused(error: &io::Error) -> Option<&OutboundError> {
        error.get_ref()?.downcast_ref()
    }

    #[tokio::test]
    async fn a_name_that_resolves_to_this_machine_is_not_connected_to_in_any_form() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        for host in
            ["localhost", "127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "[::]", "[64:ff9b::7f00:1]"]
        {
            let uri: Uri = format!("https://{host}:{port}/v2/").parse().expect("a URI");
            let error = connector(&[]).connect(&uri).await.expect_err(host);
            assert!(matches!(refused(&error), Some(OutboundError::Address { .. })), "{host}: {error}");
        }
        // Forms of the address that the system's resolver reads as one.
        for host in ["2130706433", "0x7f.1", "127.1"] {
            let uri: Uri = format!("https://{host}:{port}/v2/").parse().expect("a URI");
            assert!(connector(&[]).connect(&uri).await.is_err(), "{host}");
        }
    }

    #[tokio::test]
    async fn a_host_that_the_operator_lists_is_connected_to_also_without_tls() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let listed = connector(&[address.to_string()]);

        for scheme in ["http", "https"] {
            let uri = format!("{scheme}://{address}/").parse().expect("a URI");
            assert!(listed.connect(&uri).await.is_ok(), "{scheme}");
        }
        let named: Uri = format!("https://localhost:{}/", address.port()).parse().expect("a URI");
        assert!(listed.connect(&named).await.is_err(), "another name of it");
    }

    #[test]
    fn only_https_is_spoken_with_others() {
        let check = |uri: &str| connector(&[]).check(&uri.parse().expect("a URI"));

        assert_eq!(check("https://ghcr.io/v2/"), Ok(()));
        for uri in ["http://ghcr.io/v2/", "ftp://ghcr.io/", "gopher://ghcr.io:70/"] {
            assert!(matches!(check(uri), Err(OutboundError::Scheme { .. })), "{uri}");
        }
        assert_eq!(check("/v2/"), Err(OutboundError::NoHost));
    }
}
