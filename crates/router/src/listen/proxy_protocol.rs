//! The PROXY protocol, by which a load balancer says on whose behalf it connects; versions 1 and 2
//! (haproxy's `doc/proxy-protocol.txt`).

use std::net::SocketAddr;

use domain::edge::RouterRules;
pub(crate) use listener::proxy_protocol::read;

/// Effective peer address. If trusted proxies are configured, only they are believed.
pub(crate) fn believed(rules: &RouterRules, peer: SocketAddr, told: Option<SocketAddr>) -> SocketAddr {
    let trusted = &rules.trusted_proxies;
    let is_trusted = trusted.is_empty() || trusted.iter().any(|network| network.covers(peer.ip()));
    told.filter(|_| is_trusted).unwrap_or(peer)
}

#[cfg(test)]
mod tests {
    use domain::networks::Network;

    use super::*;

    #[test]
    fn where_proxies_are_named_only_they_are_believed() {
        let (peer, told) =
            ("10.0.0.1:1".parse().expect("an address"), "192.0.2.7:1".parse().expect("an address"));
        let named = |text| RouterRules {
            trusted_proxies: vec![Network::parse(text).expect("a network")],
            ..RouterRules::default()
        };

        assert_eq!(believed(&named("10.0.0.0/8"), peer, Some(told)), told);
        assert_eq!(believed(&named("172.16.0.0/12"), peer, Some(told)), peer);
        assert_eq!(believed(&RouterRules::default(), peer, Some(told)), told);
        assert_eq!(believed(&RouterRules::default(), peer, None), peer);
    }
}
