//! The codec of HTTP/1: heads and bodies as the fast path reads and writes them, and the rules of their framing that
//! the slow path shares.
//!
//! Only the parsing and writing exists twice, here and in hyper; the rules of a request are those of `phases`
//! (docs/decisions/0014-a-fast-path-for-ordinary-requests.md).

pub(crate) mod body_reader;
pub(crate) mod buffer;
pub(crate) mod buffered_stream;
mod chunks;
pub(crate) mod headers;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod response_error;
pub(crate) mod rewind_stream;
pub(crate) mod write;

/// Most headers of a request or a response.
pub(crate) const HEADERS_MAX: usize = 100;
/// Longest head with its body; longer ones take the slow path.
pub(crate) const REQUEST_BYTES_MAX: usize = 32 << 10;
