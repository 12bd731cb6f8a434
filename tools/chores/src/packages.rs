//! Debian packages that chores need: installed if missing, by root or with sudo.

use std::process::Command;

use crate::progress;

/// Programs that the chores need, each with the package that has it.
pub const DOCKER: (&str, &str) = ("dockerd", "docker.io");
pub const GIT: (&str, &str) = ("git", "git");
pub const SSH: (&str, &str) = ("ssh", "openssh-client");
pub const SSH_KEYGEN: (&str, &str) = ("ssh-keygen", "openssh-client");
pub const CURL: (&str, &str) = ("curl", "curl");
pub const MMDEBSTRAP: (&str, &str) = ("mmdebstrap", "mmdebstrap");
pub const C_COMPILER: (&str, &str) = ("cc", "build-essential");
pub const POSTGRESQL: (&str, &str) = ("initdb", "postgresql");
pub const SLAPD: (&str, &str) = ("slapd", "slapd");
pub const DNSMASQ: (&str, &str) = ("dnsmasq", "dnsmasq-base");
pub const PIP: (&str, &str) = ("pip3", "python3-pip");
pub const CONTAINERD: (&str, &str) = ("containerd", "containerd");
pub const RUNC: (&str, &str) = ("runc", "runc");
pub const NETWORK_PLUGINS: (&str, &str) = ("portmap", "containernetworking-plugins");
pub const IPROUTE: (&str, &str) = ("ip", "iproute2");
pub const NFTABLES: (&str, &str) = ("nft", "nftables");
pub const IPTABLES: (&str, &str) = ("iptables", "iptables");
pub const IPSET: (&str, &str) = ("ipset", "ipset");
pub const CONNTRACK: (&str, &str) = ("conntrack", "conntrack");
pub const SLIRP4NETNS: (&str, &str) = ("slirp4netns", "slirp4netns");
pub const SKOPEO: (&str, &str) = ("skopeo", "skopeo");
pub const HAPROXY: (&str, &str) = ("haproxy", "haproxy");
pub const NODE: (&str, &str) = ("node", "nodejs");
pub const PYTHON: (&str, &str) = ("python3", "python3");
pub const GUNICORN: (&str, &str) = ("gunicorn", "gunicorn");
pub const TESTSSL: (&str, &str) = ("testssl", "testssl.sh");
pub const NGINX: (&str, &str) = ("nginx", "nginx");
pub const WRK: (&str, &str) = ("wrk", "wrk");
pub const AB: (&str, &str) = ("ab", "apache2-utils");
pub const TASKSET: (&str, &str) = ("taskset", "util-linux");

/// Installs the packages whose programs are missing.
pub fn ensure(wanted: &[(&str, &str)]) -> anyhow::Result<()> {
    let mut missing: Vec<&str> =
        wanted.iter().filter(|(program, _)| find(program).is_none()).map(|(_, package)| *package).collect();
    // If a daemon responds, none is installed: it may come from elsewhere than Debian's package.
    if progress::succeeds(Command::new("docker").arg("version")) {
        missing.retain(|package| *package != DOCKER.1);
    }
    missing.dedup();
    if missing.is_empty() {
        return Ok(());
    }
    progress::step(&format!("Install Debian packages: {}", missing.join(" ")), || {
        progress::run(as_root("apt-get").args(["update", "--quiet=2"]))?;
        let install = ["install", "--yes", "--quiet=2", "--no-install-recommends", "-o", "Dpkg::Use-Pty=0"];
        progress::run(as_root("apt-get").args(install).args(&missing))
    })
}

/// A command run as root: directly, or with sudo.
pub fn as_root(program: &str) -> Command {
    let mut command = if nix::unistd::geteuid().is_root() {
        Command::new(program)
    } else {
        let mut sudo = Command::new("sudo");
        sudo.args(["--preserve-env=DEBIAN_FRONTEND,http_proxy,https_proxy", program]);
        sudo
    };
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

/// The first file of that name in PATH, in the folders of system programs and network plugins, or among
/// PostgreSQL's.
pub fn find(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<_> = std::env::split_paths(&path).collect();
    folders.extend(["/usr/sbin", "/sbin", "/usr/lib/cni"].map(Into::into));
    if let Ok(versions) = std::fs::read_dir("/usr/lib/postgresql") {
        folders.extend(versions.flatten().map(|version| version.path().join("bin")));
    }
    folders.into_iter().map(|folder| folder.join(program)).find(|file| file.is_file())
}
