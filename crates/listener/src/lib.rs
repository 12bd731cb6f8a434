//! Shared parts of all listeners, so that no source of connections takes all of one.
//!
//! A listener asks [`ConnectionLimit`] before it spends anything on a connection; only the peer's address is known
//! then. With the feature `http`, [`http`] is an HTTP server that does so.

mod connection_limit;
#[cfg(feature = "http")]
pub mod http;
mod open_files;
pub mod proxy_protocol;
mod source;

pub use connection_limit::{ConnectionLimit, ConnectionLimits, ConnectionPermit, ConnectionRefusal};
pub use open_files::open_files_max;
pub use source::{Network, NetworkError, Source};
