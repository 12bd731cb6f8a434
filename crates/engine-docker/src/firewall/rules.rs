//! The rules, as data that both backends write down: pure.
//!
//! All chains hang on one hook: prerouting, after connection tracking and before Docker's DNAT, so that a
//! published port of the host is seen under the address that the container asked for.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{FirewallSpec, HostServices};

/// IPv4 addresses of clouds' instance metadata: all of link-local (AWS, Google, Azure, OpenStack, DigitalOcean,
/// Oracle, Hetzner; credentials of ECS and EKS), Azure's wire server, Alibaba, Oracle Classic.
pub const METADATA_V4: [(Ipv4Addr, u8); 4] = [
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(168, 63, 129, 16), 32),
    (Ipv4Addr::new(100, 100, 100, 200), 32),
    (Ipv4Addr::new(192, 0, 0, 192), 32),
];
/// The same, IPv6: AWS (`fd00:ec2::/32` has EKS' and ECS' too), Google, Scaleway, OpenStack, and link-local IPv4
/// behind NAT64. Lengths are whole bytes.
pub const METADATA_V6: [(Ipv6Addr, u8); 5] = [
    (Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254), 128),
    (Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42), 128),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0xa9fe, 0xa9fe), 128),
    (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0xa9fe, 0), 112),
];
/// Ports of Docker's own API, which gives its clients root on the host.
pub const DOCKER_PORTS: [u16; 3] = [2375, 2376, 2377];
/// Clouds answer DNS at addresses of metadata, which `/etc/resolv.conf` of instances names.
const DNS_PORT: u16 = 53;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chain {
    /// On the hook: sorts out what comes from the platform's bridges.
    Entry,
    Container,
    Metadata,
    Host,
}

impl Chain {
    pub const ALL: [Self; 4] = [Self::Entry, Self::Container, Self::Metadata, Self::Host];

    pub fn name(self) -> &'static str {
        match self {
            Self::Entry => "entry",
            Self::Container => "container",
            Self::Metadata => "metadata",
            Self::Host => "host",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransportProtocol {
    Tcp,
    Udp,
    Icmp,
    Icmpv6,
}

impl TransportProtocol {
    /// IANA's protocol number.
    pub fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Icmp => 1,
            Self::Icmpv6 => 58,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Match {
    /// Comes in by this interface; a name that ends in `*` is a beginning.
    From(String),
    /// Belongs to a connection that the other side opened.
    Reply,
    ToV4(Ipv4Addr, u8),
    ToV6(Ipv6Addr, u8),
    /// To an address of the host.
    ToHost,
    Protocol(TransportProtocol),
    /// To this port of TCP or UDP.
    Port(TransportProtocol, u16),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Goto(Chain),
    Return,
    Drop,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirewallRule {
    pub chain: Chain,
    pub matches: Vec<Match>,
    pub verdict: Verdict,
}

/// The rules of a spec, in order within each chain.
pub fn rules(spec: &FirewallSpec) -> Vec<FirewallRule> {
    let rule = |chain, matches, verdict| FirewallRule { chain, matches, verdict };
    let ports = |chain: Chain, port: u16, verdict| {
        [TransportProtocol::Tcp, TransportProtocol::Udp]
            .map(|protocol| rule(chain, vec![Match::Port(protocol, port)], verdict))
    };
    let mut rules = Vec::new();
    let from = |bridge: &String| {
        rule(Chain::Entry, vec![Match::From(bridge.clone())], Verdict::Goto(Chain::Container))
    };
    rules.extend(spec.bridges.iter().map(from));

    rules.push(rule(Chain::Container, vec![Match::Reply], Verdict::Return));
    let to_metadata = |to| rule(Chain::Container, vec![to], Verdict::Goto(Chain::Metadata));
    rules.extend(METADATA_V4.map(|(address, length)| to_metadata(Match::ToV4(address, length))));
    rules.extend(METADATA_V6.map(|(address, length)| to_metadata(Match::ToV6(address, length))));
    rules.push(rule(Chain::Container, vec![Match::ToHost], Verdict::Goto(Chain::Host)));

    rules.extend(ports(Chain::Metadata, DNS_PORT, Verdict::Return));
    rules.push(rule(Chain::Metadata, vec![], Verdict::Drop));

    // The platform's public ports come first: a port that both lists name is a public one.
    let open = |port: &u16| ports(Chain::Host, *port, Verdict::Return);
    rules.extend(spec.public_ports.iter().flat_map(open));
    let closed = spec.closed_ports.iter().copied().chain(DOCKER_PORTS);
    rules.extend(
        closed.map(|port| rule(Chain::Host, vec![Match::Port(TransportProtocol::Tcp, port)], Verdict::Drop)),
    );
    if let HostServices::Only(list) = &spec.host_services {
        rules.extend(list.iter().flat_map(open));
        // Errors and neighbor discovery.
        for protocol in [TransportProtocol::Icmp, TransportProtocol::Icmpv6] {
            rules.push(rule(Chain::Host, vec![Match::Protocol(protocol)], Verdict::Return));
        }
        rules.push(rule(Chain::Host, vec![], Verdict::Drop));
    }
    rules
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn spec(host_services: HostServices) -> FirewallSpec {
        FirewallSpec {
            name: "deis-x".to_owned(),
            bridges: BTreeSet::from(["dwx*".to_owned()]),
            closed_ports: BTreeSet::from([9090]),
            public_ports: BTreeSet::from([80]),
            host_services,
        }
    }

    /// Verdict for a new TCP connection from the platform's bridge to this port of the host.
    fn verdict(spec: &FirewallSpec, port: u16) -> Verdict {
        let rules = rules(spec);
        let host = rules.iter().filter(|rule| rule.chain == Chain::Host);
        let meets = |rule: &&FirewallRule| match rule.matches.as_slice() {
            [] => true,
            [Match::Port(TransportProtocol::Tcp, other)] => *other == port,
            _ => false,
        };
        host.into_iter().find(meets).map_or(Verdict::Return, |rule| rule.verdict)
    }

    #[test]
    fn the_platforms_ports_are_closed_and_its_public_ones_open_whatever_the_operator_lists() {
        for host_services in ["open", "none", "9090,2375"] {
            let spec = spec(host_services.parse().expect("good"));
            for (port, expected) in [(80, Verdict::Return), (9090, Verdict::Drop), (2375, Verdict::Drop)] {
                assert_eq!(verdict(&spec, port), expected, "{host_services} {port}");
            }
        }
    }

    #[test]
    fn other_services_are_open_closed_or_listed() {
        let of = |host_services: &str, port| verdict(&spec(host_services.parse().expect("good")), port);
        assert_eq!(of("open", 5432), Verdict::Return);
        assert_eq!(of("none", 5432), Verdict::Drop);
        assert_eq!((of("5432", 5432), of("5432", 5433)), (Verdict::Return, Verdict::Drop));
    }

    #[test]
    fn every_rule_hangs_on_the_platforms_bridges() {
        let entry = rules(&spec(HostServices::Open)).into_iter().filter(|rule| rule.chain == Chain::Entry);
        for rule in entry {
            assert_eq!(rule.matches, [Match::From("dwx*".to_owned())]);
        }
    }
}
