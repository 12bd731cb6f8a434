//! The rules in a table of our own in nftables: `table inet deis-…` with one base chain.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::netlink::{APPEND, Attributes, CREATE, NetlinkBatch, dump};
use super::rules::{Chain, FirewallRule, Match, TransportProtocol, Verdict, rules};
use super::{FirewallError, FirewallSpec};

// linux/netfilter/nf_tables.h
const NEW_TABLE: u16 = 0;
const DELETE_TABLE: u16 = 2;
const NEW_CHAIN: u16 = 3;
const NEW_RULE: u16 = 6;
const GET_RULE: u16 = 7;
const REGISTER: u32 = 1;
const VERDICT_REGISTER: u32 = 0;
const META_IIFNAME: u32 = 6;
const META_NFPROTO: u32 = 15;
const META_L4PROTO: u32 = 16;
const CT_DIRECTION: u32 = 1;
const CT_DIRECTION_REPLY: u8 = 1;
const FIB_RESULT_ADDRTYPE: u32 = 3;
const FIB_DESTINATION: u32 = 2;
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;
/// `RTN_LOCAL` of linux/rtnetlink.h.
const TYPE_LOCAL: u32 = 2;
const NFPROTO_IPV4: u8 = 2;
const NFPROTO_IPV6: u8 = 10;
/// Offset of the destination in the headers of IPv4 and IPv6, and of the port in those of TCP and UDP.
const DESTINATION_V4: u32 = 16;
const DESTINATION_V6: u32 = 24;
const DESTINATION_PORT: u32 = 2;
const HOOK_PREROUTING: u32 = 0;
/// After connection tracking (-200), before Docker's DNAT (-100).
const PRIORITY: i32 = -150;
const POLICY_ACCEPT: u32 = 1;
const DROP: i32 = 0;
const GOTO: i32 = -4;
const RETURN: i32 = -5;
const INTERFACE_NAME_BYTES: usize = 16;

/// The rules as the kernel described them after they were put in force.
pub struct Nftables {
    applied: Vec<Vec<u8>>,
}

impl Nftables {
    /// Replaces the table as a whole: there is no moment without rules.
    pub fn apply(spec: &FirewallSpec) -> Result<Self, FirewallError> {
        let mut batch = NetlinkBatch::new();
        let table = Attributes::default().text(1, &spec.name);
        // Deleting a missing table would fail.
        batch.add(NEW_TABLE, CREATE, &table);
        batch.add(DELETE_TABLE, 0, &table);
        batch.add(NEW_TABLE, CREATE, &table);
        for chain in Chain::ALL {
            batch.add(NEW_CHAIN, CREATE, &chain_of(spec, chain));
        }
        for rule in rules(spec) {
            batch.add(NEW_RULE, CREATE | APPEND, &rule_of(spec, &rule));
        }
        batch.send().map_err(sort)?;
        Ok(Self { applied: described(&spec.name).map_err(sort)? })
    }

    /// Returns true if the kernel still has the rules as they were set.
    pub fn is_whole(&self, spec: &FirewallSpec) -> Result<bool, FirewallError> {
        match described(&spec.name) {
            Ok(now) => Ok(now == self.applied),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(sort(error)),
        }
    }
}

/// Removes the table; a missing one is no error.
pub fn remove(name: &str) -> Result<(), FirewallError> {
    let mut batch = NetlinkBatch::new();
    let table = Attributes::default().text(1, name);
    batch.add(NEW_TABLE, CREATE, &table);
    batch.add(DELETE_TABLE, 0, &table);
    batch.send().map_err(sort)
}

/// Returns true if the table exists with any rule.
pub fn has_rules(name: &str) -> Result<bool, FirewallError> {
    match described(name) {
        Ok(rules) => Ok(!rules.is_empty()),
        Err(error) => match sort(error) {
            FirewallError::Unsupported(_) => Ok(false),
            error => Err(error),
        },
    }
}

fn described(table: &str) -> io::Result<Vec<Vec<u8>>> {
    dump(GET_RULE, &Attributes::default().text(1, table))
}

/// A kernel without nftables, or an expression of it, returns one of several errors.
fn sort(error: io::Error) -> FirewallError {
    use nix::errno::Errno;
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EPERM | Errno::EACCES) => FirewallError::Forbidden,
        Some(
            Errno::EOPNOTSUPP | Errno::EPROTONOSUPPORT | Errno::EAFNOSUPPORT | Errno::EINVAL | Errno::ENOENT,
        ) => FirewallError::Unsupported(error),
        _ => FirewallError::Io { what: "talk to the kernel's nftables".to_owned(), source: error },
    }
}

fn chain_of(spec: &FirewallSpec, chain: Chain) -> Attributes {
    let attributes = Attributes::default().text(1, &spec.name).text(3, chain.name());
    if chain != Chain::Entry {
        return attributes;
    }
    let hook = Attributes::default().number(1, HOOK_PREROUTING).bytes(2, &PRIORITY.to_be_bytes());
    attributes.nested(4, &hook).number(5, POLICY_ACCEPT).text(7, "filter")
}

fn rule_of(spec: &FirewallSpec, rule: &FirewallRule) -> Attributes {
    let mut expressions: Vec<Attributes> = rule.matches.iter().flat_map(matching).collect();
    expressions.push(verdict(rule.verdict));
    let list = expressions.into_iter().fold(Attributes::default(), |list, it| list.nested(1, &it));
    Attributes::default().text(1, &spec.name).text(2, rule.chain.name()).nested(4, &list)
}

fn matching(what: &Match) -> Vec<Attributes> {
    match what {
        Match::From(name) => vec![meta(META_IIFNAME), compare(&interface(name))],
        Match::Reply => {
            let direction = Attributes::default().number(1, REGISTER).number(2, CT_DIRECTION);
            vec![expression("ct", &direction), compare(&[CT_DIRECTION_REPLY])]
        }
        Match::ToV4(address, length) => to_v4(*address, *length),
        Match::ToV6(address, length) => to_v6(*address, *length),
        Match::ToHost => {
            let type_of = Attributes::default()
                .number(1, REGISTER)
                .number(2, FIB_RESULT_ADDRTYPE)
                .number(3, FIB_DESTINATION);
            vec![expression("fib", &type_of), compare(&TYPE_LOCAL.to_ne_bytes())]
        }
        Match::Protocol(protocol) => is_protocol(*protocol),
        Match::Port(protocol, port) => {
            let mut matches = is_protocol(*protocol);
            matches.push(payload(TRANSPORT_HEADER, DESTINATION_PORT, 2));
            matches.push(compare(&port.to_be_bytes()));
            matches
        }
    }
}

/// The whole name with zeros after it, or only the beginning.
fn interface(name: &str) -> Vec<u8> {
    if let Some(beginning) = name.strip_suffix('*') {
        return beginning.as_bytes().to_vec();
    }
    let mut bytes = name.as_bytes().to_vec();
    bytes.resize(INTERFACE_NAME_BYTES, 0);
    bytes
}

/// Prefixes are whole bytes, so that no mask is needed.
fn to_v4(address: Ipv4Addr, length: u8) -> Vec<Attributes> {
    let bytes = usize::from(length / 8);
    let destination = payload(NETWORK_HEADER, DESTINATION_V4, u32::from(length / 8));
    vec![meta(META_NFPROTO), compare(&[NFPROTO_IPV4]), destination, compare(&address.octets()[..bytes])]
}

fn to_v6(address: Ipv6Addr, length: u8) -> Vec<Attributes> {
    let bytes = usize::from(length / 8);
    let destination = payload(NETWORK_HEADER, DESTINATION_V6, u32::from(length / 8));
    vec![meta(META_NFPROTO), compare(&[NFPROTO_IPV6]), destination, compare(&address.octets()[..bytes])]
}

fn is_protocol(protocol: TransportProtocol) -> Vec<Attributes> {
    vec![meta(META_L4PROTO), compare(&[protocol.number()])]
}

fn meta(key: u32) -> Attributes {
    expression("meta", &Attributes::default().number(1, REGISTER).number(2, key))
}

fn payload(header: u32, offset: u32, length: u32) -> Attributes {
    let data =
        Attributes::default().number(1, REGISTER).number(2, header).number(3, offset).number(4, length);
    expression("payload", &data)
}

/// Continues with the rule if the register begins with this.
fn compare(value: &[u8]) -> Attributes {
    let data = Attributes::default().bytes(1, value);
    expression("cmp", &Attributes::default().number(1, REGISTER).number(2, 0).nested(3, &data))
}

fn verdict(verdict: Verdict) -> Attributes {
    let code = |code: i32| Attributes::default().bytes(1, &code.to_be_bytes());
    let code = match verdict {
        Verdict::Goto(chain) => code(GOTO).text(2, chain.name()),
        Verdict::Return => code(RETURN),
        Verdict::Drop => code(DROP),
    };
    let data = Attributes::default().nested(2, &code);
    expression("immediate", &Attributes::default().number(1, VERDICT_REGISTER).nested(2, &data))
}

fn expression(name: &str, data: &Attributes) -> Attributes {
    Attributes::default().text(1, name).nested(2, data)
}
