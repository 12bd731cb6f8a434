//! Ports for programs that cannot choose one themselves.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// An address on loopback on which nothing listens; another program may take it before it is used.
pub fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
    listener.local_addr().expect("it is bound")
}

/// The port of a [`free_address`].
pub fn free_port() -> u16 {
    free_address().port()
}
