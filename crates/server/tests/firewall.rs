//! The firewall's rules in network namespaces of the test's own, with real packets: a host, a guest behind a bridge
//! of the platform, and a stranger behind another interface. Each backend is held to the same.

use std::fs::File;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sched::{CloneFlags, setns};
use testkit::wait_until_blocking;

const NAME: &str = "deis-test";
/// The host as guests and strangers see it.
const HOST_FOR_GUEST: &str = "10.77.1.1";
const HOST_FOR_STRANGER: &str = "10.77.2.1";
/// A metadata service beyond the host, which forwards to it; one of the host itself; and IPv6.
const METADATA_BEYOND: &str = "169.254.169.254";
const METADATA_ON_HOST: &str = "100.100.100.200";
const METADATA_V6: &str = "fd00:ec2::254";
const HOST_V6: &str = "fd77::1";
const INTERNAL: u16 = 9090;
const PUBLIC: u16 = 8000;
const OTHER: u16 = 5432;
const DOCKER: u16 = 2375;
const DNS: u16 = 53;
/// Longest wait for a packet that is dropped.
const CLOSED_AFTER: Duration = Duration::from_millis(700);
/// Bound of each wait for the rules.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A program that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

/// Namespaces of one test; they go with it.
struct Net {
    id: String,
    /// Programs that stand before those of the machine.
    programs: tempfile::TempDir,
    listeners: Vec<TcpListener>,
}

impl Net {
    fn new() -> Self {
        let id = format!("{:08x}", rand::random::<u32>());
        let mut net = Self { id, programs: tempfile::tempdir().expect("a folder"), listeners: Vec::new() };
        for name in ["host", "guest", "stranger", "cloud"] {
            ip(&["netns", "add", &net.ns(name)]);
            net.ip(name, &["link", "set", "lo", "up"]);
        }
        net.connect("guest", "dwtest0", HOST_FOR_GUEST, "10.77.1.2");
        net.connect("stranger", "eth9", HOST_FOR_STRANGER, "10.77.2.2");
        net.connect("cloud", "up0", "169.254.1.1", METADATA_BEYOND);
        net.ip("host", &["addr", "add", &format!("{METADATA_ON_HOST}/32"), "dev", "lo"]);
        for address in [METADATA_V6, HOST_V6] {
            net.ip("host", &["-6", "addr", "add", &format!("{address}/128"), "dev", "lo", "nodad"]);
        }
        net.run("host", "sh", &["-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"]);
        for port in [INTERNAL, PUBLIC, OTHER, DOCKER, DNS] {
            net.listen("host", port);
        }
        for port in [80, DNS] {
            net.listen("cloud", port);
        }
        net
    }

    fn ns(&self, name: &str) -> String {
        format!("fw-{}-{name}", self.id)
    }

    fn ip(&self, name: &str, words: &[&str]) {
        ip(&[&["-n", &self.ns(name)], words].concat());
    }

    fn run(&self, name: &str, program: &str, words: &[&str]) -> String {
        let ns = self.ns(name);
        let output = Command::new("ip").args(["netns", "exec", &ns, program]).args(words).output();
        let output = output.expect("it can be run");
        assert!(output.status.success(), "{program} {words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// A cable from the host's interface to `eth0` of another, which has its default route by it.
    fn connect(&self, other: &str, interface: &str, host: &str, address: &str) {
        let (ns, peer) = (self.ns("host"), self.ns(other));
        ip(&["link", "add", interface, "netns", &ns, "type", "veth", "peer", "name", "eth0", "netns", &peer]);
        self.ip("host", &["addr", "add", &format!("{host}/32"), "dev", interface]);
        self.ip("host", &["link", "set", interface, "up"]);
        self.ip("host", &["route", "replace", &format!("{address}/32"), "dev", interface]);
        self.ip(other, &["addr", "add", &format!("{address}/32"), "dev", "eth0"]);
        self.ip(other, &["link", "set", "eth0", "up"]);
        self.ip(other, &["route", "add", &format!("{host}/32"), "dev", "eth0"]);
        self.ip(other, &["route", "add", "default", "via", host]);
        self.ip("host", &["-6", "addr", "add", "fe80::1/64", "dev", interface, "nodad"]);
        self.ip(
            other,
            &["-6", "addr", "add", &format!("fd77:{}::2/64", interface.len()), "dev", "eth0", "nodad"],
        );
        self.ip(
            "host",
            &["-6", "addr", "add", &format!("fd77:{}::1/64", interface.len()), "dev", interface, "nodad"],
        );
        self.ip(other, &["-6", "route", "add", "default", "via", &format!("fd77:{}::1", interface.len())]);
    }

    fn inside<T: Send>(&self, name: &str, work: impl FnOnce() -> T + Send) -> T {
        let file = File::open(Path::new("/run/netns").join(self.ns(name))).expect("it was made");
        // The namespace is a thread's own; its sockets stay in it.
        std::thread::scope(|scope| {
            let work = scope.spawn(move || {
                setns(file, CloneFlags::CLONE_NEWNET).expect("we are root");
                work()
            });
            work.join().expect("it does not panic")
        })
    }

    fn listen(&mut self, name: &str, port: u16) {
        let listener = self.inside(name, || TcpListener::bind(("::", port)));
        let listener = listener.expect("a free port");
        // Connections that nobody takes would fill the queue, and later ones look like refused ones.
        let taken = listener.try_clone().expect("a handle");
        std::thread::spawn(move || taken.incoming().for_each(drop));
        self.listeners.push(listener);
    }

    /// Returns true if a connection can be opened.
    fn reaches(&self, from: &str, address: &str, port: u16) -> bool {
        let address = SocketAddr::new(address.parse::<IpAddr>().expect("an address"), port);
        self.inside(from, || TcpStream::connect_timeout(&address, CLOSED_AFTER)).is_ok()
    }

    /// Runs `workflow firewall` on the host, with `iptables` being that program.
    fn firewall(&self, iptables: Option<&str>, words: &[&str]) -> Running {
        let mut path = std::env::var("PATH").unwrap_or_default();
        if let Some(suffix) = iptables {
            for program in ["iptables", "ip6tables", "iptables-restore", "ip6tables-restore"] {
                let (family, rest) =
                    program.split_at(program.find("tables").expect("in all") + "tables".len());
                let real = format!("/usr/sbin/{family}-{suffix}{rest}");
                _ = symlink(real, self.programs.path().join(program));
            }
            path = format!("{}:{path}", self.programs.path().display());
        }
        let program = Command::new("ip")
            .args(["netns", "exec", &self.ns("host"), env!("CARGO_BIN_EXE_workflow"), "firewall"])
            .args(words)
            .env("PATH", path)
            .stdin(Stdio::null())
            .spawn();
        Running(program.expect("it starts"))
    }

    fn keeper(&self, iptables: Option<&str>, host_services: &str) -> Running {
        let spec = format!(
            r#"{{"name":"{NAME}","bridges":["dwtest*"],"closed_ports":[{INTERNAL}],"public_ports":[{PUBLIC}],
                "host_services":{host_services}}}"#
        );
        let words = match iptables {
            Some(_) => vec!["--iptables", "--spec", &spec],
            None => vec!["--spec", &spec],
        };
        let keeper = self.firewall(iptables, &words);
        self.until("the rules are in force", || !self.reaches("guest", HOST_FOR_GUEST, INTERNAL));
        keeper
    }

    fn until(&self, what: &str, is_so: impl Fn() -> bool) {
        wait_until_blocking(what, TIMEOUT, is_so);
    }

    fn rules(&self, iptables: Option<&str>) -> String {
        match iptables {
            None => self.run("host", "nft", &["list", "ruleset"]),
            Some(suffix) => self.run("host", &format!("/usr/sbin/iptables-{suffix}-save"), &[]),
        }
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for name in ["host", "guest", "stranger", "cloud"] {
            _ = Command::new("ip").args(["netns", "del", &self.ns(name)]).status();
        }
    }
}

fn ip(words: &[&str]) {
    let output = Command::new("ip").args(words).output().expect("iproute2 is there");
    assert!(output.status.success(), "ip {words:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn host_is_closed_as_asked(iptables: Option<&str>) {
    let net = Net::new();
    let cases = [
        (HOST_FOR_GUEST, INTERNAL, false),
        (HOST_FOR_GUEST, DOCKER, false),
        (HOST_FOR_GUEST, PUBLIC, true),
        (HOST_FOR_GUEST, OTHER, true),
        (HOST_V6, INTERNAL, false),
        (HOST_V6, OTHER, true),
        (METADATA_BEYOND, 80, false),
        (METADATA_BEYOND, DNS, true),
        (METADATA_ON_HOST, OTHER, false),
        (METADATA_V6, OTHER, false),
    ];
    for (address, port, _) in cases {
        assert!(net.reaches("guest", address, port), "without a firewall: {address} {port}");
    }

    let keeper = net.keeper(iptables, r#""open""#);

    for (address, port, expected) in cases {
        assert_eq!(net.reaches("guest", address, port), expected, "{address} {port}");
    }
    assert!(net.reaches("stranger", HOST_FOR_STRANGER, INTERNAL), "a stranger is no concern of ours");
    assert!(net.reaches("stranger", METADATA_BEYOND, 80), "a stranger is no concern of ours");
    drop(keeper);

    let keeper = net.keeper(iptables, &format!(r#"{{"only":[{OTHER}]}}"#));
    net.until("the list holds", || !net.reaches("guest", HOST_FOR_GUEST, DNS));
    assert!(net.reaches("guest", HOST_FOR_GUEST, OTHER) && net.reaches("guest", HOST_FOR_GUEST, PUBLIC));
    // Connections that the host opens get answers.
    let answer = net.inside("guest", || TcpListener::bind(("0.0.0.0", 4000))).expect("a free port");
    assert!(net.reaches("host", "10.77.1.2", 4000));
    drop((keeper, answer));
}

/// Rules alone: without comments, and without chains, whose lines count packets.
fn without_comments(rules: &str) -> Vec<String> {
    rules.lines().filter(|line| !line.starts_with('#') && !line.starts_with(':')).map(str::to_owned).collect()
}

fn rules_come_back_and_go(iptables: Option<&str>, flush: &[&str]) {
    let net = Net::new();
    let others = net.rules(iptables);
    let keeper = net.keeper(iptables, r#""open""#);
    let whole = without_comments(&net.rules(iptables));

    net.run("host", flush[0], &flush[1..]);
    net.until("rules are back", || without_comments(&net.rules(iptables)) == whole);
    assert!(!net.reaches("guest", HOST_FOR_GUEST, INTERNAL));

    drop(keeper);
    assert!(!net.reaches("guest", HOST_FOR_GUEST, INTERNAL), "apps run on without the platform");
    for _ in 0..2 {
        let mut removal = net.firewall(iptables, &["--remove", NAME]);
        assert!(removal.0.wait().expect("it ends").success());
    }
    assert!(net.reaches("guest", HOST_FOR_GUEST, INTERNAL));
    let left = net.rules(iptables);
    assert!(!left.to_ascii_lowercase().contains(NAME), "{left}");
    if iptables.is_none() {
        assert_eq!(without_comments(&left), without_comments(&others));
    }
}

#[test]
fn metadata_and_internal_ports_are_closed_to_containers_by_nftables() {
    host_is_closed_as_asked(None);
}

#[test]
fn metadata_and_internal_ports_are_closed_to_containers_by_iptables_legacy() {
    host_is_closed_as_asked(Some("legacy"));
}

#[test]
fn metadata_and_internal_ports_are_closed_to_containers_by_iptables_over_nftables() {
    host_is_closed_as_asked(Some("nft"));
}

#[test]
fn flushed_rules_come_back_and_removed_ones_leave_nothing_with_nftables() {
    rules_come_back_and_go(None, &["nft", "flush", "ruleset"]);
}

#[test]
fn flushed_rules_come_back_and_removed_ones_leave_nothing_with_iptables_legacy() {
    rules_come_back_and_go(Some("legacy"), &["/usr/sbin/iptables-legacy", "-t", "mangle", "-F"]);
}

#[test]
fn flushed_rules_come_back_and_removed_ones_leave_nothing_with_iptables_over_nftables() {
    rules_come_back_and_go(Some("nft"), &["/usr/sbin/iptables-nft", "-t", "mangle", "-F"]);
}
