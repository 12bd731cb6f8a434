//! Networks of addresses, as whitelists and trusted proxies name them.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// An address (`10.1.2.3`), a network or an address within one (`10.1.2.3/8`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Network(IpNet);

impl Network {
    /// Parses an IPv4 or IPv6 address with an optional number of bits; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let network = text.parse().or_else(|_| text.parse().map(<IpNet as From<IpAddr>>::from));
        network.ok().map(Self)
    }

    /// Returns true if the address lies in the network; an IPv4-mapped IPv6 address counts as IPv4.
    pub fn covers(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_written_with_its_bits_and_as_it_was_given() {
        for (text, written) in
            [("10.1.2.3", "10.1.2.3/32"), ("10.1.2.3/8", "10.1.2.3/8"), ("FD00::/8", "fd00::/8")]
        {
            let network = Network::parse(text).expect("a network");
            assert_eq!(network.to_string(), written);
            let json = serde_json::to_string(&network).expect("JSON");
            assert_eq!(json, format!("\"{written}\""));
            assert_eq!(serde_json::from_str::<Network>(&json).expect("its own JSON"), network);
        }
    }

    #[test]
    fn a_network_covers_what_begins_like_it() {
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        for (entry, client, covered) in [
            ("10.1.2.3", "10.1.2.3", true),
            ("10.1.2.3", "10.1.2.4", false),
            ("10.1.2.3/8", "10.9.9.9", true),
            ("0.0.0.0/0", "1.2.3.4", true),
            ("10.0.0.0/8", "::ffff:10.1.1.1", true),
            ("fd00::/8", "fd12::1", true),
            ("fd00::/8", "10.1.1.1", false),
        ] {
            let network = Network::parse(entry).expect("a network");
            assert_eq!(network.covers(address(client)), covered, "{entry} {client}");
        }
        for bad in ["", "office", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/+8", "fd00::/129", " 10.0.0.1"] {
            assert_eq!(Network::parse(bad), None, "{bad:?}");
        }
    }
}
