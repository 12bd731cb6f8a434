//! Address of a platform's API: a random port of the loopback address.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::Context as _;

/// State of a socket that listens, in /proc/net/tcp.
const LISTENS: &str = "0A";
const TIMEOUT: Duration = Duration::from_secs(2);

/// The loopback port of the process on which the API responds.
pub fn api_of(process: u32) -> anyhow::Result<SocketAddr> {
    let sockets = sockets_of(process)?;
    let table = std::fs::read_to_string("/proc/net/tcp")?;
    let ports = table.lines().skip(1).filter_map(|line| listening_port(line, &sockets));
    let addresses = ports.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    // The router responds for the API only under its host name, which `is_api` does not send.
    addresses.into_iter().find(is_api).context("the API's own port cannot be found")
}

fn sockets_of(process: u32) -> anyhow::Result<BTreeSet<String>> {
    let files = std::fs::read_dir(format!("/proc/{process}/fd"))?;
    let targets = files.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
    let names = targets.map(|target| target.to_string_lossy().into_owned());
    Ok(names.filter_map(|name| Some(name.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())).collect())
}

/// The port of a line of /proc/net/tcp that is about one of these sockets, on 127.0.0.1.
fn listening_port(line: &str, sockets: &BTreeSet<String>) -> Option<u16> {
    let fields: Vec<_> = line.split_whitespace().collect();
    let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
    let port = local.strip_prefix("0100007F:")?;
    (*state == LISTENS && sockets.contains(*inode)).then(|| u16::from_str_radix(port, 16).ok()).flatten()
}

fn is_api(address: &SocketAddr) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(address, TIMEOUT)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.write_all(b"GET /v2/ HTTP/1.1\r\nHost: none\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    // The listener of the hooks has no such URL.
    ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 401 ") && answer.contains("deis_api_version"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listeners_of_the_process_on_loopback_count() {
        let sockets = BTreeSet::from(["77".to_owned()]);
        let line = |local: &str, state: &str, inode: &str| {
            format!(
                "  1: {local} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000  0        0 {inode} 1 f 100"
            )
        };

        assert_eq!(listening_port(&line("0100007F:1F40", "0A", "77"), &sockets), Some(8_000));
        assert_eq!(listening_port(&line("0100007F:1F40", "01", "77"), &sockets), None);
        assert_eq!(listening_port(&line("00000000:1F40", "0A", "77"), &sockets), None);
        assert_eq!(listening_port(&line("0100007F:1F40", "0A", "78"), &sockets), None);
    }
}
