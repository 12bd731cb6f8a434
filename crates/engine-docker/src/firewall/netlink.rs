//! Messages to the kernel's nftables over netlink: a transaction, and a dump of rules
//! (`linux/netlink.h`, `linux/netfilter/nfnetlink.h`, `linux/netfilter/nf_tables.h`).

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, sendto, setsockopt,
    socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike as _};

/// Bound of the wait for an answer of the kernel.
const ANSWER_SECONDS_MAX: i64 = 5;
/// Largest datagram that the kernel sends (`NLMSG_GOODSIZE` is far below).
const DATAGRAM_BYTES_MAX: usize = 1 << 18;
/// Most datagrams of one answer.
const DATAGRAMS_MAX: usize = 10_000;

const HEADER_BYTES: usize = 16;
/// `nlmsghdr` and `nfgenmsg`.
const HEADERS_BYTES: usize = 20;
const SUBSYSTEM_NFTABLES: u16 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const REQUEST: u16 = 0x1;
const ACK: u16 = 0x4;
const DUMP: u16 = 0x300;
pub const CREATE: u16 = 0x400;
pub const APPEND: u16 = 0x800;
/// `NFPROTO_INET`: IPv4 and IPv6 in one table.
const FAMILY_INET: u8 = 1;
const NESTED: u16 = 0x8000;

/// Attributes of one message.
#[derive(Debug, Clone, Default)]
pub struct Attributes(Vec<u8>);

impl Attributes {
    pub fn bytes(mut self, kind: u16, value: &[u8]) -> Self {
        let length = u16::try_from(value.len() + 4).expect("attributes of ours are short");
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    pub fn text(self, kind: u16, text: &str) -> Self {
        let mut value = text.as_bytes().to_vec();
        value.push(0);
        self.bytes(kind, &value)
    }

    /// Numbers of nftables are big-endian.
    pub fn number(self, kind: u16, number: u32) -> Self {
        self.bytes(kind, &number.to_be_bytes())
    }

    pub fn nested(self, kind: u16, inner: &Self) -> Self {
        self.bytes(kind | NESTED, &inner.0)
    }
}

/// Messages that take effect together or not at all.
#[derive(Debug, Default)]
pub struct NetlinkBatch {
    bytes: Vec<u8>,
    /// Number of the newest message.
    sequence: u32,
}

impl NetlinkBatch {
    pub fn new() -> Self {
        let mut batch = Self::default();
        batch.push(BATCH_BEGIN, REQUEST, 0, SUBSYSTEM_NFTABLES, &Attributes::default());
        batch
    }

    /// Adds a message of nftables, such as `NFT_MSG_NEWRULE`.
    pub fn add(&mut self, kind: u16, flags: u16, attributes: &Attributes) {
        let kind = (SUBSYSTEM_NFTABLES << 8) | kind;
        self.push(kind, REQUEST | ACK | flags, FAMILY_INET, 0, attributes);
    }

    fn push(&mut self, kind: u16, flags: u16, family: u8, resource: u16, attributes: &Attributes) {
        self.sequence += 1;
        self.bytes.extend(message(kind, flags, self.sequence, family, resource, attributes));
    }

    /// Carries it out.
    ///
    /// # Errors
    ///
    /// The kernel's first refusal; then nothing has changed.
    pub fn send(mut self) -> io::Result<()> {
        let last = self.sequence;
        self.push(BATCH_END, REQUEST, 0, SUBSYSTEM_NFTABLES, &Attributes::default());
        let socket = NetlinkSocket::open()?;
        socket.send(&self.bytes)?;
        socket.receive(|header, body| match header.kind {
            NLMSG_ERROR => error_of(body).map(|()| header.sequence == last),
            _ => Ok(false),
        })
    }
}

/// Reads objects of the kernel: the messages without their headers.
pub fn dump(kind: u16, attributes: &Attributes) -> io::Result<Vec<Vec<u8>>> {
    let socket = NetlinkSocket::open()?;
    let kind = (SUBSYSTEM_NFTABLES << 8) | kind;
    socket.send(&message(kind, REQUEST | DUMP, 1, FAMILY_INET, 0, attributes))?;
    let mut found = Vec::new();
    socket.receive(|header, body| match header.kind {
        NLMSG_DONE => Ok(true),
        NLMSG_ERROR => error_of(body).map(|()| true),
        _ => {
            found.push(body.get(HEADERS_BYTES - HEADER_BYTES..).unwrap_or_default().to_vec());
            Ok(false)
        }
    })?;
    Ok(found)
}

fn message(
    kind: u16,
    flags: u16,
    sequence: u32,
    family: u8,
    resource: u16,
    attributes: &Attributes,
) -> Vec<u8> {
    let length = u32::try_from(HEADERS_BYTES + attributes.0.len()).expect("messages of ours are short");
    let mut bytes = Vec::new();
    bytes.extend(length.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend(0_u32.to_ne_bytes());
    bytes.extend([family, 0]);
    bytes.extend(resource.to_be_bytes());
    bytes.extend(&attributes.0);
    bytes
}

/// The error in the body of `NLMSG_ERROR`; 0 is an acknowledgement.
fn error_of(body: &[u8]) -> io::Result<()> {
    let code = body.first_chunk().map_or(0, |code| i32::from_ne_bytes(*code));
    if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(-code)) }
}

struct Header {
    kind: u16,
    sequence: u32,
}

struct NetlinkSocket(OwnedFd);

impl NetlinkSocket {
    fn open() -> io::Result<Self> {
        let (family, protocol) = (AddressFamily::Netlink, SockProtocol::NetlinkNetFilter);
        let socket = socket(family, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?;
        setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::seconds(ANSWER_SECONDS_MAX))?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
        Ok(Self(socket))
    }

    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        let kernel = NetlinkAddr::new(0, 0);
        sendto(self.0.as_raw_fd(), bytes, &kernel, MsgFlags::empty())?;
        Ok(())
    }

    /// Reads messages until `take` says that it was the last one.
    fn receive(&self, mut take: impl FnMut(Header, &[u8]) -> io::Result<bool>) -> io::Result<()> {
        let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
        for _ in 0..DATAGRAMS_MAX {
            let length = match recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                Err(Errno::EINTR) => continue,
                received => received?,
            };
            let mut rest = &buffer[..length];
            while let Some((header, body, after)) = split(rest) {
                if take(header, body)? {
                    return Ok(());
                }
                rest = after;
            }
        }
        Err(io::Error::other("the kernel's answer has no end"))
    }
}

/// The first message of a datagram: its header, its body, and what follows.
fn split(bytes: &[u8]) -> Option<(Header, &[u8], &[u8])> {
    let (head, _) = bytes.split_at_checked(HEADER_BYTES)?;
    let number = |at: usize| u32::from_ne_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let length = usize::try_from(number(0)).ok()?;
    let body = bytes.get(HEADER_BYTES..length)?;
    let after = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some((Header { kind: u16::from_ne_bytes([head[4], head[5]]), sequence: number(8) }, body, after))
}
