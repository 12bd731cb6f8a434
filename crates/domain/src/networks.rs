//! Networks of addresses, as whitelists and trusted proxies name them.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// An address (`10.1.2.3`), a network or an address within one (`10.1.2.3/8`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Network {
    address: IpAddr,
    bits: u32,
}

impl Network {
    /// Parses an IPv4 or IPv6 address with an optional number of bits; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let bits_max = if address.is_ipv4() { 32 } else { 128 };
        let is_number = |bits: &&str| !bits.is_empty() && bits.bytes().all(|byte| byte.is_ascii_digit());
        let bits = match bits {
            Some(bits) => Some(bits).filter(is_number)?.parse().ok()?,
            None => bits_max,
        };
        (bits <= bits_max).then_some(Self { address, bits })
    }

    /// Returns true if the address lies in the network; an IPv4-mapped IPv6 address counts as IPv4.
    pub fn covers(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                same_prefix(network.to_bits().into(), address.to_bits().into(), self.bits, 32)
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                same_prefix(network.to_bits(), address.to_bits(), self.bits, 128)
            }
            _ => false,
        }
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| format!("`{text}` is no network"))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

fn same_prefix(left: u128, right: u128, bits: u32, width: u32) -> bool {
    bits == 0 || (left ^ right) >> (width - bits) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

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
