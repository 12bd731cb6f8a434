//! The managed registry of a cluster, around CNCF Distribution.
//!
//! One port for everything: `/token` issues tokens (`token`), all else goes to a Distribution process that
//! listens on loopback beside us (`front`, `distribution`). So the token service is wherever the registry
//! is, and one address is enough for nodes and builds alike. On each node `node_proxy` makes that port the
//! node's own loopback, to which container engines speak plain HTTP without being configured.
//!
//! Stateless: whoever has the key can run another one beside it.

mod distribution;
mod front;
mod idle;
mod node_proxy;
mod signer;
mod storage;
mod token;

pub use distribution::{DistributionSettings, distribution_config};
pub use front::FrontSettings;
pub use node_proxy::{NodeProxySettings, run as run_node_proxy};
pub use storage::{Storage, StorageError};

use std::io;
use std::path::PathBuf;

use domain::registry_access::AccessKey;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// What the registry must know before it starts.
#[derive(Debug, Clone)]
pub struct RegistrySettings {
    /// All credentials and the signature of tokens come from it.
    pub key: AccessKey,
    /// Distribution's program.
    pub program: PathBuf,
    /// Where its config is written; made when it is missing.
    pub folder: PathBuf,
    pub storage: Storage,
    /// Where Distribution listens, on loopback.
    pub distribution_port: u16,
    pub front: FrontSettings,
}

/// What the registry could not do.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    #[error("cannot write the registry's config in {folder}: {source}")]
    Config { folder: String, source: io::Error },
    #[error("cannot start {program}: {source}; it is CNCF Distribution's `registry`")]
    Start { program: String, source: io::Error },
    #[error("the registry's program ended by itself ({status}); its last lines say why")]
    Ended { status: String },
    #[error("cannot listen on {address}: {source}")]
    Listen { address: String, source: io::Error },
}

/// Runs the registry on `listener` until `stop`, then lets requests end.
pub async fn run(
    settings: &RegistrySettings,
    listener: TcpListener,
    stop: CancellationToken,
) -> Result<(), RegistryError> {
    let mut distribution = distribution::Distribution::start(settings).await?;
    let front = front::run(settings, listener, stop.clone());
    let ended = tokio::select! {
        () = front => Ok(()),
        status = distribution.ended() => Err(RegistryError::Ended { status }),
    };
    distribution.stop().await;
    ended
}
