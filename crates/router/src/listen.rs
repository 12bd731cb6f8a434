//! From the socket to the first byte of a request: workers accept connections, which say on whose behalf they come
//! (PROXY protocol), make their handshake (TLS) and take the fast path or hyper's.

pub(crate) mod connection;
mod fast_path;
pub mod passthrough;
pub(crate) mod proxy_protocol;
pub(crate) mod worker;
