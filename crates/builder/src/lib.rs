//! Git over SSH: takes pushes, has them built, has the result released.
//!
//! The way of a push: `ssh` (a connection) -> `session` (whose key?) -> `command` (what is asked?) ->
//! `access` (may they?) -> `receive` (`git receive-pack` into a quarantine) -> `hook` (git's
//! pre-receive hook, a process that only talks to `control`) -> `refs` and `source` (what to build) ->
//! `build` (the engine builds, the controller releases, `pusher` tells both ends).
//!
//! The builder never reads the database and never talks to a container engine but through `Jobs`.

mod access;
mod build;
mod command;
mod control;
mod copies;
mod git;
mod hook;
mod host_keys;
mod locks;
mod pusher;
mod pushes;
mod receive;
mod records;
mod refs;
mod relay;
mod repositories;
mod session;
mod settings;
mod source;
mod ssh;
mod sweep;

use std::sync::Arc;

use engine::{Bundles, Jobs, Logs};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

pub use hook::hook_main;
pub use settings::{BuilderError, BuilderSettings};

use crate::access::Hooks;
use crate::git::Git;
use crate::locks::AppLocks;
use crate::pushes::Pushes;
use crate::records::Records;
use crate::repositories::Repositories;

/// What every connection shares.
struct Builder {
    settings: BuilderSettings,
    hooks: Hooks,
    git: Git,
    repositories: Repositories,
    records: Records,
    locks: AppLocks,
    pushes: Pushes,
    jobs: Arc<dyn Jobs>,
    logs: Arc<dyn Logs>,
    /// Copies of what was pushed, where this disk is only a cache.
    bundles: Option<Arc<dyn Bundles>>,
    /// Commands and builds under way; shutdown waits for them.
    work: TaskTracker,
    /// Ends builds under way.
    stopping: CancellationToken,
    /// Where the git hook finds us.
    control_path: std::path::PathBuf,
}

/// Serves until `shutdown` turns true or closes, then drains within `drain_timeout`.
pub async fn run(
    mut settings: BuilderSettings,
    listener: Option<TcpListener>,
    jobs: Arc<dyn Jobs>,
    logs: Arc<dyn Logs>,
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
    let builder = Arc::new(Builder::new(settings, control.path.clone(), jobs, logs, bundles)?);
    builder.records.report_interrupted(&*builder.logs);

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

    // A closed channel means that the one who could stop us is gone.
    let _ = shutdown.wait_for(|stop| *stop).await;
    closing.cancel();
    drop(sweep);
    builder.drain(drain_timeout).await;
    // The last answers leave with the connections, which the closing made end by themselves.
    let _ = tokio::time::timeout(ssh::GOODBYE_MAX, ssh).await;
    drop(control);
    Ok(())
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
        logs: Arc<dyn Logs>,
        bundles: Option<Arc<dyn Bundles>>,
    ) -> Result<Self, BuilderError> {
        let hooks = Hooks::new(&settings)?;
        let git = Git::new(&settings)?;
        let repositories = Repositories::new(settings.data_dir.join("repositories"))?;
        let records = Records::new(settings.data_dir.join("builds"))?;
        Ok(Self {
            settings,
            hooks,
            git,
            repositories,
            records,
            locks: AppLocks::default(),
            pushes: Pushes::default(),
            jobs,
            logs,
            bundles,
            work: TaskTracker::new(),
            stopping: CancellationToken::new(),
            control_path,
        })
    }

    /// Waits for the pushes under way; those that take too long are told to push again.
    async fn drain(&self, drain_timeout: std::time::Duration) {
        self.work.close();
        if tokio::time::timeout(drain_timeout, self.work.wait()).await.is_err() {
            tracing::warn!(commands = self.work.len(), "stopping in the middle of pushes");
            self.stopping.cancel();
            let _ = tokio::time::timeout(ssh::GOODBYE_MAX, self.work.wait()).await;
        }
    }
}
