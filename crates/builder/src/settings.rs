//! Settings of a builder. The server reads flags and environment.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use listener::Network;

/// Settings of one builder.
#[derive(Clone)]
pub struct BuilderSettings {
    /// Address of the SSH listener, if `run` is given none.
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
    /// `PATH` for `git` and its helpers; git gets no other part of our environment.
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
    /// Largest number of files, folders and submodules in one source.
    pub source_entries_max: u64,
    /// Authenticated SSH connections at once: in all, of one user, and from one source.
    pub connections_max: usize,
    pub connections_by_user_max: usize,
    pub connections_by_source_max: usize,
    /// SSH connections at once that have not authenticated: in all and from one source. A newcomer sheds the oldest.
    pub unauthenticated_max: usize,
    pub unauthenticated_by_source_max: usize,
    /// Longest time of an authenticated connection without a command: before the first and after the last.
    pub idle_max: Duration,
    /// Ranges whose connections may begin with a PROXY protocol header, and have no share of their own.
    pub trusted_proxies: Vec<Network>,
    /// Pushes at once, from the first byte to the release: in all and of one user.
    pub pushes_max: usize,
    pub pushes_by_user_max: usize,
    /// Longest idle time of a push while others wait for git to unpack theirs.
    pub turn_idle_max: Duration,
    /// Fetches at once: in all and of one user.
    pub fetches_max: usize,
    pub fetches_by_user_max: usize,
    /// Memory of one git process.
    pub git_memory_bytes: u64,
    /// Processor time of one git process that takes a push in.
    pub git_cpu_seconds: u64,
    /// Silence after which the pusher gets a line of dots.
    pub dots_interval: Duration,
    /// Longest time for pushes under way after shutdown was requested.
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
            source_entries_max: 500_000,
            connections_max: 256,
            connections_by_user_max: 32,
            connections_by_source_max: 128,
            unauthenticated_max: 256,
            unauthenticated_by_source_max: 32,
            idle_max: Duration::from_secs(30),
            trusted_proxies: Vec::new(),
            pushes_max: 64,
            pushes_by_user_max: 8,
            turn_idle_max: Duration::from_secs(20),
            fetches_max: 32,
            fetches_by_user_max: 8,
            git_memory_bytes: 512 << 20,
            git_cpu_seconds: 300,
            dots_interval: Duration::from_secs(10),
            drain_timeout: Duration::from_secs(20),
        }
    }
}

/// A failed start of the builder.
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
