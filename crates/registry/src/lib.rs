//! The managed registry of a cluster, around CNCF Distribution.
//!
//! One port for everything: `/token` issues tokens (`token`), everything else goes to a Distribution process on
//! loopback (`front`, `distribution`). So the token service is where the registry is, and one address is enough
//! for nodes and builds. On each node `node_proxy` maps that port to the node's loopback, where container engines
//! use plain HTTP without configuration.
//!
//! Stateless: another instance needs only the key.

mod collector;
mod distribution;
mod front;
mod idle;
mod node_proxy;
mod signer;
mod storage;
mod token;

pub use collector::CollectSettings;
pub use distribution::{DistributionSettings, distribution_config};
pub use front::FrontSettings;
pub use node_proxy::{NodeProxySettings, run as run_node_proxy};
pub use storage::{Storage, StorageError};

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use domain::registry_access::AccessKey;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use collector::WriteGate;

/// Settings of the registry.
#[derive(Debug, Clone)]
pub struct RegistrySettings {
    /// All credentials and the signature of tokens come from it.
    pub key: AccessKey,
    /// Distribution's program.
    pub program: PathBuf,
    /// Folder of its config; created if missing.
    pub folder: PathBuf,
    pub storage: Storage,
    /// Loopback port of Distribution.
    pub distribution_port: u16,
    pub front: FrontSettings,
    /// When unused blobs are collected; only for one registry on a volume of its own.
    pub collect: Option<CollectSettings>,
}

/// A failure of the registry.
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
    let gate = Arc::new(WriteGate::new());
    if let Some(collect) = settings.collect {
        let program = collector::DistributionCommand {
            program: settings.program.clone(),
            config: distribution::config_file(settings),
        };
        tokio::spawn(collector::run(collect, Arc::clone(&gate), program, stop.clone()));
    }
    let front = front::run(settings, listener, gate, stop.clone());
    let ended = tokio::select! {
        () = front => Ok(()),
        status = distribution.ended() => Err(RegistryError::Ended { status }),
    };
    distribution.stop().await;
    ended
}
