//! Git over SSH: receives pushes, builds them, releases the result.
//!
//! The steps of a push: `ssh` (a connection) -> `session` (authentication) -> `command` (git's command) ->
//! `access` (authorization) -> `receive` (`git receive-pack` into a quarantine) -> `hook` (git's pre-receive hook,
//! a process that only talks to `control`) -> `refs` and `source` (the commit to build) -> `build` (the engine
//! builds, the controller releases, `pusher` reports).
//!
//! The builder never reads the database, and uses a container engine only through `Jobs`.

mod access;
mod build;
mod command;
mod control;
mod copies;
mod git;
mod handshake_limit;
mod hook;
mod host_keys;
mod limits;
mod locks;
mod memory;
mod metered;
mod pointers;
mod progress;
mod pusher;
mod pushes;
mod receive;
mod records;
mod refs;
mod relay;
mod repositories;
mod session;
mod settings;
mod shallow;
mod shares;
mod source;
mod ssh;
mod sweep;
mod tree;

use std::sync::Arc;

use engine::{Bundles, Jobs, LogSink};
use listener::{ConnectionLimit, ConnectionLimits};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

pub use hook::hook_main;
pub use settings::{BuilderError, BuilderSettings};

use crate::access::HooksClient;
use crate::git::Git;
use crate::handshake_limit::HandshakeLimit;
use crate::locks::AppLocks;
use crate::pushes::Pushes;
use crate::records::Records;
use crate::repositories::Repositories;
use crate::shares::Shares;

/// State that all connections share.
struct Builder {
    settings: BuilderSettings,
    hooks: HooksClient,
    git: Git,
    repositories: Repositories,
    records: Records,
    locks: AppLocks,
    pushes: Pushes,
    /// SSH connections that have not authenticated, and those that have: by source and by user.
    waiting: HandshakeLimit,
    connections: ConnectionLimit,
    users: Shares,
    /// Pushes from the first byte to the release, those of them that git unpacks, and fetches.
    pushing: Shares,
    unpacking: Shares,
    fetching: Shares,
    jobs: Arc<dyn Jobs>,
    log_sink: Arc<dyn LogSink>,
    /// Copies of what was pushed, where this disk is only a cache.
    bundles: Option<Arc<dyn Bundles>>,
    /// Commands and builds under way; shutdown waits for them.
    work: TaskTracker,
    /// Ends builds under way.
    stopping: CancellationToken,
    /// Socket on which the git hook reaches the builder.
    control_path: std::path::PathBuf,
}

/// Serves until `shutdown` turns true or closes, then drains within `drain_timeout`.
pub async fn run(
    mut settings: BuilderSettings,
    listener: Option<TcpListener>,
    jobs: Arc<dyn Jobs>,
    log_sink: Arc<dyn LogSink>,
    bundles: Option<Arc<dyn Bundles>>,
    mut shutdown: watch::Receiver<bool>,
) -> Result<(), BuilderError> {
    let listener = match listener {
        Some(listener) => listener,
        None => ssh::bind(settings.listen).await?,
    };
    settings.data_dir = absolute(&settings.data_dir)?;
    let keys = match &settings.host_keys_dir {
        Some(folder) => host_keys::load_given(folder)?,
        None => host_keys::load_or_make(&settings.data_dir.join("ssh"))?,
    };
    let control = control::bind(&settings.data_dir)?;
    let builder = Arc::new(Builder::new(settings, control.path.clone(), jobs, log_sink, bundles)?);
    builder.records.report_interrupted(&*builder.log_sink);

    let drain_timeout = builder.settings.drain_timeout;
    let closing = CancellationToken::new();
    let control = AbortOnDropHandle::new(tokio::spawn(control::serve(Arc::clone(&builder), control)));
    let sweep = AbortOnDropHandle::new(tokio::spawn(sweep::run(Arc::clone(&builder))));
    let ssh = AbortOnDropHandle::new(tokio::spawn(ssh::serve(
        Arc::clone(&builder),
        keys,
        listener,
        closing.clone(),
    )));

    // A closed channel means that the sender of the stop signal is gone.
    let _ = shutdown.wait_for(|stop| *stop).await;
    closing.cancel();
    drop(sweep);
    builder.drain(drain_timeout).await;
    // The last answers leave with the connections, which the closing made end by themselves.
    let _ = tokio::time::timeout(ssh::GOODBYE_MAX, ssh).await;
    drop(control);
    Ok(())
}

/// Authenticated connections. What a proxy passes on without saying for whom has the unspecified address.
fn connections(settings: &BuilderSettings) -> ConnectionLimit {
    ConnectionLimit::new(ConnectionLimits {
        total_max: settings.connections_max,
        by_source_max: settings.connections_by_source_max,
        without_share: vec!["0.0.0.0/32".parse().expect("a range")],
    })
}

/// git runs in another folder than we do.
fn absolute(data_dir: &std::path::Path) -> Result<std::path::PathBuf, BuilderError> {
    host_keys::make_private_folder(data_dir)?;
    std::fs::canonicalize(data_dir)
        .map_err(|source| BuilderError::Prepare { path: data_dir.to_owned(), source })
}

impl Builder {
    fn new(
        settings: BuilderSettings,
        control_path: std::path::PathBuf,
        jobs: Arc<dyn Jobs>,
        log_sink: Arc<dyn LogSink>,
        bundles: Option<Arc<dyn Bundles>>,
    ) -> Result<Self, BuilderError> {
        let hooks = HooksClient::new(&settings)?;
        let git = Git::new(&settings)?;
        let repositories = Repositories::new(settings.data_dir.join("repositories"))?;
        let records = Records::new(settings.data_dir.join("builds"))?;
        let unpacking = memory::unpacking_max(memory::total_bytes(), settings.git_memory_bytes);
        Ok(Self {
            waiting: HandshakeLimit::new(
                settings.unauthenticated_max,
                settings.unauthenticated_by_source_max,
            ),
            connections: connections(&settings),
            users: Shares::new(settings.connections_max, settings.connections_by_user_max),
            pushing: Shares::new(settings.pushes_max, settings.pushes_by_user_max),
            unpacking: Shares::new(unpacking, unpacking.div_ceil(4)),
            fetching: Shares::new(settings.fetches_max, settings.fetches_by_user_max),
            settings,
            hooks,
            git,
            repositories,
            records,
            locks: AppLocks::default(),
            pushes: Pushes::default(),
            jobs,
            log_sink,
            bundles,
            work: TaskTracker::new(),
            stopping: CancellationToken::new(),
            control_path,
        })
    }

    /// Waits for the pushes under way; those that take too long are asked to push again.
    async fn drain(&self, drain_timeout: std::time::Duration) {
        self.work.close();
        if tokio::time::timeout(drain_timeout, self.work.wait()).await.is_err() {
            tracing::warn!(commands = self.work.len(), "stopping in the middle of pushes");
            self.stopping.cancel();
            let _ = tokio::time::timeout(ssh::GOODBYE_MAX, self.work.wait()).await;
        }
    }
}
