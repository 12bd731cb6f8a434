//! The rules in chains of our own of iptables' `mangle` table, for kernels without nftables: `iptables` for IPv4,
//! `ip6tables` for IPv6, which may be missing.
//!
//! The programs get words and a text that we made; nothing of users is in them.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use super::rules::{Chain, FirewallRule, Match, TransportProtocol, Verdict, rules};
use super::{FirewallError, FirewallSpec};

const TABLE: &str = "mangle";
const HOOK: &str = "PREROUTING";
/// Seconds to wait for another program that changes rules.
const LOCK_SECONDS: &str = "5";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    V4,
    V6,
}

impl Family {
    const ALL: [Self; 2] = [Self::V4, Self::V6];

    fn program(self) -> &'static str {
        match self {
            Self::V4 => "iptables",
            Self::V6 => "ip6tables",
        }
    }

    fn matches(self, rule: &FirewallRule) -> bool {
        rule.matches.iter().all(|part| match part {
            Match::ToV4(..) | Match::Protocol(TransportProtocol::Icmp) => self == Self::V4,
            Match::ToV6(..) | Match::Protocol(TransportProtocol::Icmpv6) => self == Self::V6,
            _ => true,
        })
    }
}

/// The rules as the programs listed them after they were put in force; none where they were not whole even then.
pub struct Iptables {
    name: String,
    applied: Vec<(Family, Vec<String>)>,
}

impl Iptables {
    pub fn apply(spec: &FirewallSpec) -> Result<Self, FirewallError> {
        let mut applied = Vec::new();
        for family in Family::ALL {
            match apply(spec, family) {
                Ok(()) => {
                    let lines = listed(&spec.name, family)?;
                    // Somebody flushed them meanwhile: no later list equals none, so that they are put back.
                    let is_whole = lines.len() == line_count(spec, family);
                    applied.push((family, if is_whole { lines } else { Vec::new() }));
                }
                // A machine without IPv6 reaches nothing by it.
                Err(error) if family == Family::V6 => tracing::info!(%error, "no rules for IPv6"),
                Err(error) => return Err(error),
            }
        }
        Ok(Self { name: spec.name.clone(), applied })
    }

    pub fn is_whole(&self) -> Result<bool, FirewallError> {
        for (family, applied) in &self.applied {
            if applied.is_empty() || listed(&self.name, *family)? != *applied {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Returns true if there are chains of that name.
pub fn has_rules(name: &str) -> bool {
    Family::ALL.into_iter().any(|family| listed(name, family).is_ok_and(|lines| !lines.is_empty()))
}

/// Removes our chains; missing ones, or a missing program, are no error.
pub fn remove(name: &str) -> Result<(), FirewallError> {
    for family in Family::ALL {
        let Ok(lines) = listed(name, family) else { continue };
        if lines.is_empty() {
            continue;
        }
        for line in lines.iter().filter(|line| line.starts_with(&format!("-A {HOOK} "))) {
            let words: Vec<_> = line.split(' ').skip(1).collect();
            run(family, &[&["-D"], words.as_slice()].concat())?;
        }
        for option in ["-F", "-X"] {
            for chain in Chain::ALL {
                run(family, &[option, &chain_name(name, chain)])?;
            }
        }
    }
    Ok(())
}

fn apply(spec: &FirewallSpec, family: Family) -> Result<(), FirewallError> {
    restore(spec, family)?;
    let entry = chain_name(&spec.name, Chain::Entry);
    if run(family, &["-C", HOOK, "-j", &entry]).is_err() {
        run(family, &["-I", HOOK, "1", "-j", &entry])?;
    }
    Ok(())
}

/// Fills the chains in one step; those of others stay as they are.
fn restore(spec: &FirewallSpec, family: Family) -> Result<(), FirewallError> {
    let program = format!("{}-restore", family.program());
    let failed = |reason: String| FirewallError::Program { program: program.clone(), reason };
    let mut child = Command::new(&program)
        .args(["--noflush", "--wait", LOCK_SECONDS])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    let text = text(spec, family);
    let sent = child.stdin.take().expect("it is piped").write_all(text.as_bytes());
    let output = child.wait_with_output().map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(error_text(&output)));
    }
    sent.map_err(|error| failed(error.to_string()))
}

/// Input of `iptables-restore`.
fn text(spec: &FirewallSpec, family: Family) -> String {
    let mut text = format!("*{TABLE}\n");
    for chain in Chain::ALL {
        _ = writeln!(text, ":{} - [0:0]", chain_name(&spec.name, chain));
    }
    for rule in rules(spec).iter().filter(|rule| family.matches(rule)) {
        _ = writeln!(text, "{}", line(&spec.name, rule));
    }
    text + "COMMIT\n"
}

fn line(name: &str, rule: &FirewallRule) -> String {
    let mut line = format!("-A {}", chain_name(name, rule.chain));
    for part in &rule.matches {
        let words = match part {
            Match::From(bridge) => format!("-i {}", bridge.replace('*', "+")),
            Match::Reply => "-m conntrack --ctdir REPLY".to_owned(),
            Match::ToV4(address, length) => format!("-d {address}/{length}"),
            Match::ToV6(address, length) => format!("-d {address}/{length}"),
            Match::ToHost => "-m addrtype --dst-type LOCAL".to_owned(),
            Match::Protocol(protocol) => format!("-p {}", protocol.number()),
            Match::Port(protocol, port) => {
                let name = if *protocol == TransportProtocol::Tcp { "tcp" } else { "udp" };
                format!("-p {name} -m {name} --dport {port}")
            }
        };
        line = format!("{line} {words}");
    }
    match rule.verdict {
        Verdict::Goto(chain) => format!("{line} -g {}", chain_name(name, chain)),
        Verdict::Return => format!("{line} -j RETURN"),
        Verdict::Drop => format!("{line} -j DROP"),
    }
}

/// At most 28 characters, which is the bound of iptables.
fn chain_name(name: &str, chain: Chain) -> String {
    format!("{}-{}", name.to_ascii_uppercase(), chain.name())
}

/// Our chains, their rules, and what leads to them, as the program lists them.
fn listed(name: &str, family: Family) -> Result<Vec<String>, FirewallError> {
    let output = run(family, &["-S"])?;
    let own = format!(" {}-", name.to_ascii_uppercase());
    Ok(output.lines().filter(|line| line.contains(&own)).map(str::to_owned).collect())
}

/// Lines that [`listed`] has when all is there: the chains, their rules, and the jump to the first.
fn line_count(spec: &FirewallSpec, family: Family) -> usize {
    Chain::ALL.len() + rules(spec).iter().filter(|rule| family.matches(rule)).count() + 1
}

fn run(family: Family, words: &[&str]) -> Result<String, FirewallError> {
    let program = family.program();
    let failed = |reason: String| FirewallError::Program { program: program.to_owned(), reason };
    let output = Command::new(program)
        .args(["--wait", LOCK_SECONDS, "-t", TABLE])
        .args(words)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(error_text(&output)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn error_text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).trim().to_owned()
}
