//! Settings of a logger, and the reasons why one does not start.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// Settings of a logger.
#[derive(Clone)]
pub struct LoggerSettings {
    /// Address of the HTTP listener, if `run` is given none.
    pub listen: SocketAddr,
    pub data_dir: PathBuf,
    /// Lines of an app that can be asked for.
    pub lines_per_app_max: usize,
    /// Bytes that an app's lines may take on disk; long lines push out old ones sooner.
    pub bytes_per_app_max: u64,
    /// Key for reading lines, in [`KEY_HEADER`](crate::KEY_HEADER); `None` asks for none.
    pub key: Option<String>,
    /// Connections at once. Each log that is followed is one, and each node of a cluster that sends lines.
    pub connections_max: usize,
    /// Key for sending lines over HTTP, in [`KEY_HEADER`](crate::KEY_HEADER); `None` accepts no lines.
    pub lines_key: Option<String>,
}

impl LoggerSettings {
    /// The defaults for a logger that keeps its data in `data_dir`.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 9002)),
            data_dir: data_dir.into(),
            lines_per_app_max: 1_000,
            bytes_per_app_max: 8 << 20,
            key: None,
            connections_max: 2_048,
            lines_key: None,
        }
    }
}

/// A failed start of the logger.
#[derive(Debug, thiserror::Error)]
pub enum LoggerError {
    #[error("cannot prepare {}: {source}", path.display())]
    Prepare { path: PathBuf, source: std::io::Error },
    #[error("cannot listen on {address}: {source}; choose another address or stop what holds it")]
    Listen { address: SocketAddr, source: std::io::Error },
}
