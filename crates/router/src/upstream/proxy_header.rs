//! The PROXY protocol header by which the router says on whose behalf it connects; versions 1 and 2 (haproxy's
//! `doc/proxy-protocol.txt`).

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use domain::edge::ProxyHeader;
use listener::proxy_protocol::V2_SIGNATURE;

/// The header of a connection to `destination` on behalf of `source`.
pub(crate) fn header(version: ProxyHeader, source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    let (from, to) = (source.ip().to_canonical(), destination.ip().to_canonical());
    // Both are of one family: an address of IPv4 has a form in IPv6, too.
    let both = match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => Ok((from, to)),
        (from, to) => Err((in_v6(from), in_v6(to))),
    };
    let (source_port, port) = (source.port(), destination.port());
    match version {
        ProxyHeader::V1 => match both {
            Ok((from, to)) => format!("PROXY TCP4 {from} {to} {source_port} {port}\r\n"),
            Err((from, to)) => format!("PROXY TCP6 {from} {to} {source_port} {port}\r\n"),
        }
        .into_bytes(),
        ProxyHeader::V2 => {
            let (family, addresses) = match both {
                Ok((from, to)) => (0x11, [from.octets(), to.octets()].concat()),
                Err((from, to)) => (0x21, [from.octets(), to.octets()].concat()),
            };
            let ports = [source_port.to_be_bytes(), port.to_be_bytes()].concat();
            let length = u8::try_from(addresses.len() + ports.len()).expect("36 at most");
            [&V2_SIGNATURE[..], &[0x21, family, 0, length], &addresses, &ports].concat()
        }
    }
}

fn in_v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

#[cfg(test)]
mod tests {
    use listener::proxy_protocol::read;

    use super::*;

    async fn read_from(bytes: &[u8]) -> std::io::Result<(Option<SocketAddr>, Vec<u8>)> {
        let mut stream = bytes;
        let told = read(&mut stream).await?;
        Ok((told, stream.to_vec()))
    }

    #[tokio::test]
    async fn what_is_written_is_what_is_read() {
        for version in [ProxyHeader::V1, ProxyHeader::V2] {
            for (source, destination) in [
                ("192.0.2.7:5000", "10.0.0.1:80"),
                ("[2001:db8::1]:5000", "[fd00::1]:80"),
                ("[2001:db8::1]:0", "10.0.0.1:80"),
            ] {
                let [source, destination] =
                    [source, destination].map(|text| text.parse::<SocketAddr>().expect("an address"));

                let header = header(version, source, destination);

                let read = read_from(&[&header[..], b"GET /"].concat()).await.expect("read");
                assert_eq!(read, (Some(source), b"GET /".to_vec()), "{version:?}");
            }
        }
        let v1 = header(
            ProxyHeader::V1,
            "[::ffff:1.2.3.4]:5".parse().expect("one"),
            "10.0.0.1:80".parse().expect("one"),
        );
        assert_eq!(v1, b"PROXY TCP4 1.2.3.4 10.0.0.1 5 80\r\n");
    }
}
