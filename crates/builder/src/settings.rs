//! What a builder must know before it starts. Reading flags and environment is the server's work.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// Settings of one builder.
#[derive(Clone)]
pub struct BuilderSettings {
    /// Where SSH is served, where `run` is given no listener.
    pub listen: SocketAddr,
    /// Repositories, host keys and notes about running builds live under it.
    pub data_dir: PathBuf,
    /// Folder of host keys that were made elsewhere and are only read; without it they are made in `data_dir`.
    pub host_keys_dir: Option<PathBuf>,
    /// Address of the controller's internal listener, such as `http://127.0.0.1:9001`.
    pub hooks_url: String,
    /// Proves to the controller that the builder asks. Never logged.
    pub builder_key: String,
    /// The command that ends in [`crate::hook_main`], such as `workflow git-hook`.
    pub hook_command: Vec<String>,
    /// Where `git` and its helpers are looked for; git gets no other part of our environment.
    pub program_path: String,
    /// Longest time between the first byte of a push and its last.
    pub receive_deadline_seconds: u32,
    pub build_deadline_seconds: u32,
    /// Longest wait for the controller to roll a release out.
    pub release_deadline_seconds: u32,
    /// Largest pack that one push may bring.
    pub push_bytes_max: u64,
    /// Largest unpacked source that one build may get.
    pub source_bytes_max: u64,
    /// Space that must be left on the data folder's disk before a push is taken.
    pub disk_free_bytes_min: u64,
    /// SSH connections at once; more are closed at the door.
    pub connections_max: usize,
    /// Silence after which the pusher gets a line of dots.
    pub dots_interval: Duration,
    /// How long pushes under way may go on after shutdown was asked for.
    pub drain_timeout: Duration,
}

impl BuilderSettings {
    /// The defaults for a builder that keeps its data in `data_dir`.
    pub fn new(
        data_dir: impl Into<PathBuf>,
        hooks_url: impl Into<String>,
        builder_key: impl Into<String>,
        hook_command: Vec<String>,
    ) -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 2222)),
            data_dir: data_dir.into(),
            host_keys_dir: None,
            hooks_url: hooks_url.into(),
            builder_key: builder_key.into(),
            hook_command,
            program_path: "/usr/local/bin:/usr/bin:/bin:/opt/homebrew/bin".to_owned(),
            receive_deadline_seconds: 900,
            build_deadline_seconds: 900,
            release_deadline_seconds: 1_300,
            push_bytes_max: 1 << 30,
            source_bytes_max: 4 << 30,
            disk_free_bytes_min: 256 << 20,
            connections_max: 256,
            dots_interval: Duration::from_secs(10),
            drain_timeout: Duration::from_secs(20),
        }
    }
}

/// Why the builder could not start.
#[derive(Debug, thiserror::Error)]
pub enum BuilderError {
    #[error("cannot listen for SSH on {address}: {source}; choose another address or stop what holds it")]
    Listen { address: SocketAddr, source: std::io::Error },
    #[error("cannot prepare {}: {source}", path.display())]
    Prepare { path: PathBuf, source: std::io::Error },
    #[error("the SSH host key {} is not usable: {reason}; restore it or move it away", path.display())]
    HostKey { path: PathBuf, reason: String },
    #[error("the controller's address `{url}` is not usable: {reason}")]
    HooksUrl { url: String, reason: String },
    #[error("the hook command is empty; give the program that runs the git hook")]
    HookCommand,
}
