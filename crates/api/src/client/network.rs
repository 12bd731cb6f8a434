//! Connections to a controller: addresses, names, proxies and TLS.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ureq::config::RedirectAuthHeaders;
use ureq::http::Uri;
use ureq::tls::{RootCerts, TlsConfig};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, Error, Proxy};

use super::ClientError;

/// Longest wait for a connection.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const REDIRECTS_MAX: u32 = 5;

/// Scheme, host and port of a controller, without a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    scheme: String,
    host: String,
    port: Option<u16>,
}

impl Address {
    /// Parses a URL; a path in it is dropped.
    ///
    /// # Errors
    ///
    /// [`ClientError::Address`] unless it is an http or https URL with a host.
    pub fn parse(text: &str) -> Result<Self, ClientError> {
        let wrong = || ClientError::Address { text: text.to_owned() };
        let uri: Uri = text.parse().map_err(|_| wrong())?;
        let scheme = uri.scheme_str().unwrap_or("").to_ascii_lowercase();
        let host = uri.host().unwrap_or("").to_ascii_lowercase();
        if host.is_empty() || !matches!(scheme.as_str(), "http" | "https") {
            return Err(wrong());
        }
        Ok(Self { scheme, host, port: uri.port_u16() })
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// The host without its port.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port that the address names; `None` means that of the scheme.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// The host with its port, where one was given.
    pub fn authority(&self) -> String {
        match self.port {
            Some(port) => format!("{}:{port}", self.host),
            None => self.host.clone(),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority())
    }
}

/// Makes the HTTP client for requests to `address`.
pub(super) fn agent(address: &Address, ssl_verify: bool) -> Agent {
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::PlatformVerifier)
        .disable_verification(!ssl_verify)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .build();
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .max_redirects(REDIRECTS_MAX)
        .max_redirects_will_error(false)
        .redirect_auth_headers(RedirectAuthHeaders::SameHost)
        .max_idle_connections(0)
        .proxy(proxy(address, |name| std::env::var(name).ok()))
        .tls_config(tls)
        .build();
    Agent::with_parts(config, DefaultConnector::default(), LocalhostResolver::default())
}

/// Takes `localhost` and every name under it for this machine (RFC 6761), as not every system resolver does.
#[derive(Debug, Default)]
struct LocalhostResolver(DefaultResolver);

impl Resolver for LocalhostResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &ureq::config::Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        if !uri.host().is_some_and(is_localhost) {
            return self.0.resolve(uri, config, timeout);
        }
        let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
        let mut addresses = self.empty();
        addresses.push(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        addresses.push(SocketAddr::from((Ipv6Addr::LOCALHOST, port)));
        Ok(addresses)
    }
}

pub(super) fn is_localhost(host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost")
}

/// The proxy of this process' environment.
#[cfg(feature = "terminal")]
pub(super) fn proxy_of(address: &Address) -> Option<Proxy> {
    proxy(address, |name| std::env::var(name).ok())
}

/// The proxy that the environment names for `address`, if any. This machine is never behind one.
fn proxy(address: &Address, environment: impl Fn(&str) -> Option<String>) -> Option<Proxy> {
    let either = |lower: &str| {
        let value = environment(lower).or_else(|| environment(&lower.to_ascii_uppercase()));
        value.filter(|value| !value.is_empty())
    };
    let host = address.host();
    let is_loopback =
        host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    if is_localhost(host) || is_loopback || either("no_proxy").is_some_and(|list| is_listed(host, &list)) {
        return None;
    }
    let url = either(&format!("{}_proxy", address.scheme())).or_else(|| either("all_proxy"))?;
    Proxy::new(&url).ok()
}

fn is_listed(host: &str, no_proxy: &str) -> bool {
    no_proxy.split(',').map(str::trim).filter(|entry| !entry.is_empty()).any(|entry| {
        let domain = entry.trim_start_matches('*').trim_start_matches('.').to_ascii_lowercase();
        entry == "*" || host == domain || host.ends_with(&format!(".{domain}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(url: &str, environment: &[(&str, &str)]) -> Option<String> {
        let get = |name: &str| environment.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        proxy(&Address::parse(url).unwrap(), get).map(|proxy| proxy.uri().to_string())
    }

    #[test]
    fn an_address_loses_its_path_and_its_capitals() {
        let address = Address::parse("HTTP://Deis.Example.COM:8080/foo").unwrap();
        assert_eq!(address.to_string(), "http://deis.example.com:8080");
        assert_eq!(address.host(), "deis.example.com");
    }

    #[test]
    fn an_address_needs_a_host_and_http() {
        for text in ["", "deis.example.com", "ftp://x.com", "http://"] {
            assert!(Address::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn each_scheme_has_its_own_proxy() {
        let both = [("http_proxy", "http://a:1"), ("HTTPS_PROXY", "http://b:2")];
        assert_eq!(chosen("http://deis.x.com", &both).as_deref(), Some("http://a:1/"));
        assert_eq!(chosen("https://deis.x.com", &both).as_deref(), Some("http://b:2/"));
    }

    #[test]
    fn this_machine_and_listed_hosts_are_reached_without_a_proxy() {
        let proxied = [("http_proxy", "http://a:1"), ("no_proxy", "other.com, .x.com")];
        for url in ["http://deis.localhost:8000", "http://127.0.0.1", "http://[::1]:80", "http://deis.x.com"]
        {
            assert_eq!(chosen(url, &proxied), None, "{url}");
        }
        assert!(chosen("http://deis.notx.com", &proxied).is_some());
    }

    #[test]
    fn names_under_localhost_are_this_machine() {
        assert!(is_localhost("deis.localhost"));
        assert!(is_localhost("localhost."));
        assert!(!is_localhost("notlocalhost"));
        assert!(!is_localhost("localhost.example.com"));
    }
}
