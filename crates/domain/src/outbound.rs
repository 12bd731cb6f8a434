//! Policy for outbound connections to addresses that users name.
//!
//! A user who has the platform connect somewhere (an image's registry, its redirects, a webhook) must not reach
//! services that only the platform's machine can reach. So only addresses of the public Internet are allowed; the
//! operator lists exceptions.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::{Ipv4Net, Ipv6Net};

use crate::networks::Network;

/// IPv4 networks that are not on the public Internet (IANA IPv4 Special-Purpose Address Registry), multicast, and the
/// address at which Azure serves its machines' metadata.
const V4_CLOSED: &[Ipv4Net] = &[
    v4([0, 0, 0, 0], 8),
    v4([10, 0, 0, 0], 8),
    v4([100, 64, 0, 0], 10),
    v4([127, 0, 0, 0], 8),
    v4([168, 63, 129, 16], 32),
    v4([169, 254, 0, 0], 16),
    v4([172, 16, 0, 0], 12),
    v4([192, 0, 0, 0], 24),
    v4([192, 0, 2, 0], 24),
    v4([192, 88, 99, 0], 24),
    v4([192, 168, 0, 0], 16),
    v4([198, 18, 0, 0], 15),
    v4([198, 51, 100, 0], 24),
    v4([203, 0, 113, 0], 24),
    v4([224, 0, 0, 0], 4),
    v4([240, 0, 0, 0], 4),
];

/// Closed ranges of the global unicast addresses `2000::/3` (IANA IPv6 Special-Purpose Address Registry): protocol
/// assignments, among them Teredo and ORCHID; documentation; 6to4, whose relays lead to any IPv4 address.
const V6_CLOSED: &[Ipv6Net] = &[
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23),
    v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32),
    v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16),
    v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20),
];

/// NAT64's well-known prefix (RFC 6052): the IPv4 address is in the last 32 bits.
const NAT64: Ipv6Net = v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96);
const GLOBAL_UNICAST: Ipv6Net = v6([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);

/// Returns true for an address of the public Internet.
pub fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => !V4_CLOSED.iter().any(|network| network.contains(&address)),
        // An IPv6-only network reaches the IPv4 Internet by it.
        IpAddr::V6(address) if NAT64.contains(&address) => {
            let [.., a, b, c, d] = address.octets();
            is_public(Ipv4Addr::new(a, b, c, d).into())
        }
        IpAddr::V6(address) => {
            GLOBAL_UNICAST.contains(&address) && !V6_CLOSED.iter().any(|network| network.contains(&address))
        }
    }
}

const fn v4(address: [u8; 4], bits: u8) -> Ipv4Net {
    let [a, b, c, d] = address;
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), bits)
}

const fn v6(address: [u16; 8], bits: u8) -> Ipv6Net {
    let [a, b, c, d, e, f, g, h] = address;
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, e, f, g, h), bits)
}

/// An exception of the operator's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutboundException {
    /// Every address of a network.
    Network(Network),
    /// Whatever addresses a host has, at one port or at all.
    Host { host: String, port: Option<u16> },
}

impl FromStr for OutboundException {
    type Err = String;

    /// `10.1.0.0/16`, `192.168.1.5`, `registry.internal`, `registry.internal:5000`, `127.0.0.1:5000`, `[::1]:5000`.
    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(network) = Network::parse(text) {
            return Ok(Self::Network(network));
        }
        let wrong = || format!("`{text}`: expected a range such as 10.1.0.0/16, a host, or host:port");
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse().map_err(|_| wrong())?)),
            None => (text, None),
        };
        let host = normalized(host);
        let is_fine = |char: char| char.is_ascii_alphanumeric() || "-._:".contains(char);
        if host.is_empty() || !host.chars().all(is_fine) {
            return Err(wrong());
        }
        Ok(Self::Host { host, port })
    }
}

/// A host as it is compared: lower case, without brackets and trailing dot.
fn normalized(host: &str) -> String {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

/// Decides which addresses are connected to for users.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OutboundPolicy {
    allowed: Vec<OutboundException>,
}

impl OutboundPolicy {
    /// A policy with these exceptions of the operator.
    pub fn new(allowed: impl IntoIterator<Item = OutboundException>) -> Self {
        Self { allowed: allowed.into_iter().collect() }
    }

    /// Returns true if the operator has allowed this very host.
    pub fn lists(&self, host: &str, port: u16) -> bool {
        let host = normalized(host);
        let address = host.parse::<IpAddr>().ok();
        self.allowed.iter().any(|allowance| match allowance {
            OutboundException::Network(network) => address.is_some_and(|address| network.covers(address)),
            OutboundException::Host { host: listed, port: at } => {
                *listed == host && at.is_none_or(|at| at == port)
            }
        })
    }

    /// Returns true if `address`, which `host` resolved to, may be connected to. `is_own` marks an address of this
    /// machine.
    pub fn admits(&self, host: &str, port: u16, address: IpAddr, is_own: bool) -> bool {
        let is_listed = |allowance: &OutboundException| match allowance {
            OutboundException::Network(network) => network.covers(address),
            OutboundException::Host { .. } => false,
        };
        (is_public(address) && !is_own) || self.allowed.iter().any(is_listed) || self.lists(host, port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(allowed: &[&str]) -> OutboundPolicy {
        OutboundPolicy::new(allowed.iter().map(|text| text.parse().expect("a good allowance")))
    }

    fn admits(allowed: &[&str], host: &str, port: u16, address: &str) -> bool {
        policy(allowed).admits(host, port, address.parse().expect("an address"), false)
    }

    #[test]
    fn only_addresses_of_the_public_internet_are_public_in_whatever_form() {
        for public in [
            "1.1.1.1",
            "93.184.216.34",
            "172.32.0.1",
            "100.128.0.1",
            "2606:4700::1111",
            "::ffff:1.1.1.1",
            "64:ff9b::101:101",
        ] {
            assert!(is_public(public.parse().expect("an address")), "{public}");
        }
        for closed in [
            "0.0.0.0",
            "10.0.0.1",
            "100.64.0.1",
            "100.100.100.200",
            "127.0.0.1",
            "127.255.0.1",
            "168.63.129.16",
            "169.254.169.254",
            "172.31.255.255",
            "192.0.0.192",
            "192.168.1.1",
            "198.19.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::101:101",
            "2002:7f00:1::",
            "2002:101:101::",
            "2001::1",
            "2001:db8::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!is_public(closed.parse().expect("an address")), "{closed}");
        }
    }

    #[test]
    fn what_the_operator_lists_is_connected_to_and_nothing_beside_it() {
        assert!(admits(&[], "ghcr.io", 443, "140.82.112.33"));
        assert!(!admits(&[], "evil.example", 443, "127.0.0.1"));
        assert!(admits(&["10.1.0.0/16"], "registry.internal", 5000, "10.1.2.3"));
        assert!(!admits(&["10.1.0.0/16"], "registry.internal", 5000, "10.2.2.3"));
        assert!(admits(&["Registry.Internal."], "registry.internal", 5000, "10.2.2.3"));
        assert!(!admits(&["registry.internal"], "other.internal", 5000, "10.2.2.3"));
        assert!(admits(&["127.0.0.1:5000"], "127.0.0.1", 5000, "127.0.0.1"));
        assert!(!admits(&["127.0.0.1:5000"], "127.0.0.1", 5001, "127.0.0.1"));
        assert!(!admits(&["127.0.0.1:5000"], "evil.example", 5000, "127.0.0.1"));
        assert!(admits(&["[::1]:5000"], "[::1]", 5000, "::1"));
        for bad in ["", "a b", "host:port", "http://host", "host/path"] {
            assert!(bad.parse::<OutboundException>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_address_of_this_machine_is_closed_though_it_is_public() {
        let own = "203.0.114.7".parse().expect("an address");

        assert!(!policy(&[]).admits("apps.example.com", 443, own, true));
        assert!(policy(&["203.0.114.7"]).admits("apps.example.com", 443, own, true));
    }
}
