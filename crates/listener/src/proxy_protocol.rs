//! The PROXY protocol, by which a load balancer says on whose behalf it connects; versions 1 and 2
//! (haproxy's `doc/proxy-protocol.txt`).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// First bytes of version 2.
pub const V2_SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Longest line of version 1, by its specification.
const V1_BYTES_MAX: usize = 107;
/// Longest rest of version 2 that is read.
const V2_BYTES_MAX: usize = 4 << 10;

/// Returns true if a header of either version begins with this byte.
pub fn may_begin_with(first: u8) -> bool {
    first == b'P' || first == V2_SIGNATURE[0]
}

/// Reads the header and nothing behind it; `None` where the proxy speaks for itself.
pub async fn read<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Option<SocketAddr>> {
    let mut start = [0; V2_SIGNATURE.len()];
    stream.read_exact(&mut start).await?;
    if start == V2_SIGNATURE {
        return read_v2(stream).await;
    }
    if !start.starts_with(b"PROXY ") {
        return Err(malformed());
    }
    let mut line = start.to_vec();
    while !line.ends_with(b"\r\n") {
        if line.len() >= V1_BYTES_MAX {
            return Err(malformed());
        }
        line.push(stream.read_u8().await?);
    }
    v1(&line).ok_or_else(malformed)
}

async fn read_v2<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Option<SocketAddr>> {
    let mut head = [0; 4];
    stream.read_exact(&mut head).await?;
    let [command, family, high, low] = head;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > V2_BYTES_MAX {
        return Err(malformed());
    }
    let mut rest = vec![0; length];
    stream.read_exact(&mut rest).await?;
    v2(command, family, &rest).ok_or_else(malformed)
}

/// `Some(None)` for a proxy that does not know or speaks for itself.
fn v1(line: &[u8]) -> Option<Option<SocketAddr>> {
    let line = std::str::from_utf8(line).ok()?.strip_suffix("\r\n")?;
    let words: Vec<_> = line.split(' ').collect();
    match words[..] {
        ["PROXY", "UNKNOWN", ..] => Some(None),
        ["PROXY", family, source, _, port, _] => {
            let address: IpAddr = source.parse().ok()?;
            let is_family = if address.is_ipv4() { family == "TCP4" } else { family == "TCP6" };
            let port = port.parse().ok()?;
            is_family.then_some(Some(SocketAddr::new(address, port)))
        }
        _ => None,
    }
}

fn v2(command: u8, family: u8, rest: &[u8]) -> Option<Option<SocketAddr>> {
    match command {
        // LOCAL: a health check of the proxy's own.
        0x20 => return Some(None),
        0x21 => {}
        _ => return None,
    }
    let address: (IpAddr, usize) = match family >> 4 {
        1 => (Ipv4Addr::from(<[u8; 4]>::try_from(rest.get(..4)?).ok()?).into(), 8),
        2 => (Ipv6Addr::from(<[u8; 16]>::try_from(rest.get(..16)?).ok()?).into(), 32),
        _ => return Some(None),
    };
    let (address, port_at) = address;
    let port = u16::from_be_bytes(<[u8; 2]>::try_from(rest.get(port_at..port_at + 2)?).ok()?);
    Some(Some(SocketAddr::new(address, port)))
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "not a PROXY protocol header")
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read_from(bytes: &[u8]) -> io::Result<(Option<SocketAddr>, Vec<u8>)> {
        let mut stream = bytes;
        let told = read(&mut stream).await?;
        Ok((told, stream.to_vec()))
    }

    #[tokio::test]
    async fn both_versions_are_read_and_nothing_behind_them() {
        let source = Some("192.0.2.7:5000".parse().expect("an address"));
        let v1 = b"PROXY TCP4 192.0.2.7 10.0.0.1 5000 80\r\nGET /".to_vec();
        let mut v2 = V2_SIGNATURE.to_vec();
        v2.extend([0x21, 0x11, 0, 12, 192, 0, 2, 7, 10, 0, 0, 1, 19, 136, 0, 80]);
        v2.extend(b"GET /");
        let mut local = V2_SIGNATURE.to_vec();
        local.extend([0x20, 0, 0, 0]);

        assert_eq!(read_from(&v1).await.expect("read"), (source, b"GET /".to_vec()));
        assert_eq!(read_from(&v2).await.expect("read"), (source, b"GET /".to_vec()));
        assert_eq!(read_from(&local).await.expect("read"), (None, Vec::new()));
        assert_eq!(read_from(b"PROXY UNKNOWN\r\n").await.expect("read"), (None, Vec::new()));
    }

    #[tokio::test]
    async fn anything_else_is_refused() {
        let long = [b"PROXY TCP4 ".to_vec(), vec![b'1'; 200]].concat();
        let mut huge = V2_SIGNATURE.to_vec();
        huge.extend([0x21, 0x11, 0xff, 0xff]);
        for bad in [
            &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..],
            b"PROXY TCP4 192.0.2.7 10.0.0.1 99999 80\r\n",
            b"PROXY TCP6 192.0.2.7 10.0.0.1 5000 80\r\n",
            b"PROXY TCP4",
            &long,
            &huge,
        ] {
            assert!(read_from(bad).await.is_err(), "{bad:?}");
        }
    }
}
