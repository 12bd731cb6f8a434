//! Reasons why a router does not start.

use std::net::SocketAddr;

/// A router that could not start or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum RouterError {
    #[error("cannot listen on {address}: choose another address or stop what holds it")]
    Listen {
        address: SocketAddr,
        #[source]
        source: std::io::Error,
    },
    #[error("cannot start a router worker")]
    Worker(#[source] std::io::Error),
    #[error("cannot make a certificate for {names}: are these host names?")]
    SelfSigned {
        names: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
