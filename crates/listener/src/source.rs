//! Source of a connection, as shares count it.

use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

/// Length of the part of an IPv6 address that is one customer's network (RFC 6177, section 2).
const IPV6_NETWORK_BITS: u32 = 64;

/// One source: an IPv4 address, or an IPv6 network of 64 bits. An IPv4 address mapped into IPv6 is itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    V4(u32),
    V6(u64),
}

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.to_bits()),
            IpAddr::V6(address) => Self::V6((address.to_bits() >> (128 - IPV6_NETWORK_BITS)) as u64),
        }
    }
}

/// A range of addresses in CIDR notation (RFC 4632), such as `10.0.0.0/8`; a bare address is a range of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network(IpNet);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkError(String);

impl std::error::Error for NetworkError {}

impl std::fmt::Display for NetworkError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "`{}` is no range of addresses; write one like 10.0.0.0/8 or 2001:db8::/32", self.0)
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let network = text.parse().or_else(|_| text.parse().map(<IpNet as From<IpAddr>>::from));
        network.map(Self).map_err(|_| NetworkError(text.to_owned()))
    }
}

impl Network {
    /// Returns true if the address lies in the range. An IPv4-mapped IPv6 address counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_network_of_a_customer_is_one_source() {
        assert_eq!(Source::from(address("2001:db8::1")), Source::from(address("2001:db8::ffff")));
        assert_ne!(Source::from(address("2001:db8::1")), Source::from(address("2001:db8:0:1::1")));
        assert_eq!(Source::from(address("::ffff:192.0.2.1")), Source::from(address("192.0.2.1")));
        assert_ne!(Source::from(address("192.0.2.1")), Source::from(address("192.0.2.2")));
    }

    #[test]
    fn ranges_hold_their_addresses_and_no_others() {
        let contains =
            |range: &str, asked| range.parse::<Network>().expect("a range").contains(address(asked));

        assert!(contains("10.0.0.0/8", "10.255.0.1") && contains("10.0.0.0/8", "::ffff:10.0.0.1"));
        assert!(!contains("10.0.0.0/8", "11.0.0.0") && !contains("10.0.0.0/8", "a00::1"));
        assert!(contains("0.0.0.0/0", "203.0.113.1") && !contains("0.0.0.0/0", "2001:db8::1"));
        assert!(contains("::/0", "2001:db8::1") && contains("2001:db8::/32", "2001:db8:1::"));
        assert!(contains("192.0.2.1", "192.0.2.1") && !contains("192.0.2.1", "192.0.2.2"));
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for text in ["", "10.0.0.0/33", "10.0.0/8", "::/129", "10.0.0.0/+8", "10.0.0.0/", "host/8"] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }
}
