//! A DNS server of its own for a test: dnsmasq on a port of the loopback network.

use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use testkit::wait_until_blocking;

const TIMEOUT: Duration = Duration::from_secs(20);

/// The server; it ends with the value.
pub struct Dnsmasq(Child);

impl Dnsmasq {
    /// Serves these TXT records. Other names below `com` do not exist, and questions about all others are refused.
    pub fn start(address: SocketAddr, records: &[(&str, &str)]) -> Self {
        Self::start_for("com", address, records)
    }

    /// The same for another top-level domain.
    pub fn start_for(domain: &str, address: SocketAddr, records: &[(&str, &str)]) -> Self {
        let port = format!("--port={}", address.port());
        let mut command = Command::new("/usr/sbin/dnsmasq");
        command.args(["--keep-in-foreground", "--conf-file=/dev/null", "--pid-file", "--user=root"]);
        command.args(["--no-resolv", "--no-hosts", "--bind-interfaces"]);
        command.args(["--listen-address=127.0.0.1", &port, &format!("--local=/{domain}/")]);
        command.args(records.iter().map(|(name, text)| format!("--txt-record={name},{text}")));
        let command = command.stdin(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().expect("dnsmasq runs: `cargo xtask test` installs it");
        let mut dnsmasq = Self(process);
        wait_until_blocking("dnsmasq answers", TIMEOUT, || {
            let ended = dnsmasq.0.try_wait().expect("it is a child");
            assert!(ended.is_none(), "dnsmasq ended: {ended:?}");
            TcpStream::connect(address)
        });
        dnsmasq
    }
}

impl Drop for Dnsmasq {
    fn drop(&mut self) {
        // It may have ended by itself.
        _ = self.0.kill();
        _ = self.0.wait();
    }
}
