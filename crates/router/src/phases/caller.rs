//! Phase 1: the client's address and scheme, from the connection; behind a trusted proxy from what the proxy
//! sends.

use std::net::{IpAddr, SocketAddr};

use domain::edge::RouterRules;
use domain::networks::Network;
use http::HeaderMap;

use crate::settings::RouterSettings;

/// Source of a connection, and the listener that accepted it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClientConnection {
    pub(crate) peer: SocketAddr,
    pub(crate) is_tls: bool,
}

/// Address, scheme and port of a request's client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RequestOrigin {
    pub(super) address: IpAddr,
    /// Its port, 0 if it is unknown.
    pub(super) address_port: u16,
    pub(super) is_https: bool,
    /// The port that was asked.
    pub(super) port: u16,
    /// Named by a trusted proxy.
    pub(super) is_proxied: bool,
}

impl RequestOrigin {
    pub(super) fn of(
        rules: &RouterRules,
        settings: &RouterSettings,
        client: ClientConnection,
        headers: &HeaderMap,
    ) -> Self {
        let peer = client.peer.ip().to_canonical();
        let trusted = &rules.trusted_proxies;
        if !is_among(trusted, peer) {
            return Self {
                address: peer,
                address_port: client.peer.port(),
                is_https: client.is_tls,
                port: port(settings, client),
                is_proxied: false,
            };
        }
        let is_https = client.is_tls || last_word(headers, "x-forwarded-proto").is_some_and(is_secure);
        let told_port = last_word(headers, "x-forwarded-port").and_then(|text| text.parse().ok());
        // The PROXY header describes the connection as its owner saw it, so it is the best source.
        let address = if rules.proxy_protocol { peer } else { original(trusted, peer, headers) };
        let port = told_port.unwrap_or(if is_https { 443 } else { 80 });
        let address_port = if address == peer { client.peer.port() } else { 0 };
        Self { address, address_port, is_https, port, is_proxied: true }
    }
}

fn port(settings: &RouterSettings, client: ClientConnection) -> u16 {
    let https = settings.https.as_ref().filter(|_| client.is_tls);
    match https {
        Some(https) => https.public_port.unwrap_or(https.listen.port()),
        None => settings.public_port.unwrap_or(settings.listen.port()),
    }
}

/// The first address from the right that is not trusted; addresses to the left of it may be forged.
fn original(trusted: &[Network], peer: IpAddr, headers: &HeaderMap) -> IpAddr {
    let mut address = peer;
    for value in headers.get_all("x-forwarded-for").iter().rev() {
        let Ok(value) = value.to_str() else { return address };
        for word in value.rsplit(',') {
            let Some(next) = parse_address(word.trim()) else { return address };
            address = next;
            if !is_among(trusted, address) {
                return address;
            }
        }
    }
    address
}

/// Some proxies add a port.
fn parse_address(text: &str) -> Option<IpAddr> {
    let address = text.parse::<IpAddr>().ok();
    let with_port = || text.parse::<std::net::SocketAddr>().ok().map(|address| address.ip());
    address.or_else(with_port).map(|address| address.to_canonical())
}

fn last_word<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let last = headers.get_all(name).iter().next_back()?.to_str().ok()?;
    last.rsplit(',').next().map(str::trim)
}

fn is_secure(scheme: &str) -> bool {
    scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("wss")
}

fn is_among(networks: &[Network], address: IpAddr) -> bool {
    networks.iter().any(|network| network.covers(address))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn asked(trusted: &[&str], peer: &str, forwarded: &[(&'static str, &'static str)]) -> RequestOrigin {
        let networks = trusted.iter().map(|text| Network::parse(text).expect("a network"));
        let rules = RouterRules { trusted_proxies: networks.collect(), ..RouterRules::default() };
        let settings = RouterSettings::new(([127, 0, 0, 1], 8080).into());
        let peer = std::net::SocketAddr::new(peer.parse().expect("an address"), 1);
        let mut headers = HeaderMap::new();
        for (name, value) in forwarded {
            headers.append(*name, HeaderValue::from_static(value));
        }
        RequestOrigin::of(&rules, &settings, ClientConnection { peer, is_tls: false }, &headers)
    }

    #[test]
    fn a_stranger_is_not_believed() {
        let forwarded = [("x-forwarded-for", "192.0.2.1"), ("x-forwarded-proto", "https")];

        let caller = asked(&["10.0.0.0/8"], "203.0.113.5", &forwarded);

        assert_eq!(
            (caller.address.to_string().as_str(), caller.is_https, caller.port),
            ("203.0.113.5", false, 8080)
        );
    }

    #[test]
    fn a_trusted_proxy_tells_who_asks_and_how() {
        let forwarded = [
            ("x-forwarded-for", "6.6.6.6"),
            ("x-forwarded-for", "192.0.2.1, 10.0.0.9"),
            ("x-forwarded-proto", "http, HTTPS"),
        ];

        let caller = asked(&["10.0.0.0/8"], "10.0.0.1", &forwarded);

        assert_eq!(
            (caller.address.to_string().as_str(), caller.is_https, caller.port),
            ("192.0.2.1", true, 443)
        );
        let port = asked(&["10.0.0.0/8"], "10.0.0.1", &[("x-forwarded-port", "8443")]).port;
        assert_eq!(port, 8443);
    }

    #[test]
    fn what_is_no_address_ends_the_list() {
        let address =
            |list| asked(&["10.0.0.0/8"], "10.0.0.1", &[("x-forwarded-for", list)]).address.to_string();

        assert_eq!(address("192.0.2.1, unknown"), "10.0.0.1");
        assert_eq!(address("192.0.2.1, unknown, 10.0.0.3"), "10.0.0.3");
        assert_eq!(address("192.0.2.1:4711"), "192.0.2.1");
        assert_eq!(address("10.0.0.2, 10.0.0.3"), "10.0.0.2");
    }
}
