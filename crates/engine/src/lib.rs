//! Engines: what makes workloads run, behind a few small traits.
//!
//! Full desired state in, observed state out, idempotent. Nothing here is shaped like Kubernetes or
//! Docker. Every promise of a trait is a line in `conformance`, which each engine passes.

pub mod build_steps;
pub mod buildkit;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod fake;
pub mod image_text;
pub mod job;
pub mod log_queue;
pub mod log_text;
pub mod origin;
pub mod packages;
pub mod private_file;
pub mod rollout;
pub mod route;
pub mod session;
pub mod slug_push;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use domain::build::{BuildJob, BuiltImage, OneOff, ProcessResult};
use domain::crashes::Crash;
use domain::deployment::{Workload, WorkloadId};
use domain::logs::LogLine;
use domain::pods::{Pod, PodSelection};
use domain::routing::{AppRouting, RouteTable, RouterReport};
use domain::sbom::Inventory;
use domain::stacks::StackName;
use domain::terminal::TerminalSize;
use domain::{AppName, Digest, Image};
use futures_util::Stream;
use jiff::Timestamp;
use tokio::io::AsyncRead;
use tokio::sync::{mpsc, watch};

pub use session::{Input, Output, PodCommand, Session};

/// An error of the engine, and whether a retry can help.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// No answer, or a late one: the call may have taken effect. A retry may help.
    #[error("{what}: the engine is unreachable")]
    Unreachable {
        what: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The engine refused the call. A retry does not help until what `reason` names has changed.
    #[error("{what}: {reason}")]
    Refused { what: String, reason: String },
}

/// A failed job.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The build of the user ended with this exit code.
    #[error("exited with code {exit_code}")]
    Failed { exit_code: i64 },
    /// The job was stopped at its deadline, after this many seconds.
    #[error("timed out after {seconds} seconds")]
    TimedOut { seconds: u32 },
    /// The job could not be run as asked, or broke a bound; `reason` says what to change.
    #[error("{reason}")]
    Refused { reason: String },
    /// The engine failed, not the job.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// An image that could not be resolved or copied.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// There is no such image here or in the registry that the reference names.
    #[error("image {reference} not found")]
    NotFound { reference: String },
    /// The registry refused the credentials, or requires some.
    #[error("Permission Denied attempting to pull image {reference}")]
    Denied { reference: String },
    /// The reference is not well-formed; see `domain::image_reference`.
    #[error("image reference `{reference}` is not valid: {reason}")]
    Malformed { reference: String, reason: String },
    /// The engine or the registry failed, or refused an image that apps may not use.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// Outcome of the newest desired state of a workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// All replicas of the desired release are ready, and all others are leaving. After a change of scale alone,
    /// surplus ones are gone.
    Running,
    /// The desired state was given up. Nothing more is done for it, and what served before serves on, until another
    /// one is recorded or the workload is removed. The reason is a sentence for the user, with the last lines of a
    /// process that crashed.
    Failed { reason: String },
    /// A newer desired state took its place.
    Superseded,
}

/// Makes workloads run and reports what runs.
///
/// Calls are idempotent: repeating one that succeeded changes nothing. `apply` only records the desired state;
/// [`Engine::outcome`] returns its end. A desired state that was recorded survives the death of the process and is
/// carried out by the next one.
///
/// # Errors
///
/// [`EngineError::Unreachable`] means that Docker or Kubernetes gave no answer in time: the change may have been
/// recorded or not, and repeating the call is safe. [`EngineError::Refused`] means an answer that a retry does not
/// change.
#[async_trait]
pub trait Engine: Send + Sync + 'static {
    /// Records `workload` as wanted and begins to make it so: new replicas start, get traffic once ready, and only
    /// then are the old ones drained and stopped, also where there is just one. A change of `replicas` alone
    /// scales without replacing what runs.
    ///
    /// # Errors
    ///
    /// [`EngineError`] only where the desired state could not be recorded. A workload that does not start is
    /// [`Outcome::Failed`].
    async fn apply(&self, workload: &Workload) -> Result<(), EngineError>;

    /// Waits until the desired state for `release` of this workload has ended; [`Outcome::Superseded`] for an
    /// unknown workload. Bounded by the workload's `start_timeout_seconds` and `grace_seconds` for each batch of
    /// replicas.
    ///
    /// # Errors
    ///
    /// [`EngineError`] says nothing about the rollout, which goes on: ask again.
    async fn outcome(&self, id: &WorkloadId, release: u64) -> Result<Outcome, EngineError>;

    /// Stops the workload and forgets it; waits, with a bound, until its processes have ended. Removing one that
    /// does not exist succeeds.
    async fn remove(&self, id: &WorkloadId) -> Result<(), EngineError>;

    /// Removes everything of the app: workloads, routing, network, build cache, images that the platform made for
    /// it. Removing an app that does not exist succeeds.
    async fn remove_app(&self, app: &AppName) -> Result<(), EngineError>;

    /// Lists the newest desired state of each workload.
    async fn wanted(&self) -> Result<Vec<Workload>, EngineError>;

    /// As [`Engine::wanted`], of one app.
    async fn wanted_of(&self, app: &AppName) -> Result<Vec<Workload>, EngineError> {
        Ok(self.wanted().await?.into_iter().filter(|workload| workload.id.app == *app).collect())
    }

    /// Reason why no app can have this name here, as a sentence; `None` if one can. For example, something outside
    /// the platform has the name.
    async fn name_refusal(&self, _: &AppName) -> Result<Option<String>, EngineError> {
        Ok(None)
    }

    /// Lists the app's pods, starting and leaving ones included; one-off pods are left out.
    async fn pods(&self, app: &AppName) -> Result<Vec<Pod>, EngineError>;

    /// Replaces the selected pods by new ones of the same release, without losing a request, and returns those of
    /// the selection that run afterwards (for a named pod: its successor). Pods whose successors are not ready in
    /// time stay. A selection of nothing returns an empty list.
    async fn restart(&self, app: &AppName, selection: &PodSelection) -> Result<Vec<Pod>, EngineError>;

    /// Stream of unrequested exits of processes, with any exit code, each once and from now on. A reader that is
    /// too slow loses the oldest; the counts of later ones include them.
    fn crashes(&self) -> Pin<Box<dyn Stream<Item = Crash> + Send>>;

    /// Records the routing of the app, in place of the previous one.
    async fn route(&self, routing: &AppRouting) -> Result<(), EngineError>;

    /// Returns true if some node carries all of these labels.
    async fn has_node_with(&self, tags: &BTreeMap<String, String>) -> Result<bool, EngineError>;
}

/// An uncompressed tar archive of the source.
pub type SourceStream = Pin<Box<dyn AsyncRead + Send>>;

/// Runs jobs that end: builds and one-off processes.
///
/// Dropping the future stops the job and removes its objects.
///
/// # Errors
///
/// [`JobError::TimedOut`] at the deadline of the job, [`JobError::Refused`] where the user must change something,
/// [`JobError::Engine`] where the engine failed.
#[async_trait]
pub trait Jobs: Send + Sync + 'static {
    /// Runs a build; sends its output as it comes, in whole or partial lines. A receiver of the output that was
    /// dropped does not stop the build.
    ///
    /// # Errors
    ///
    /// [`JobError::Failed`] with the exit code of the user's build, besides those of [`Jobs`].
    async fn build(
        &self,
        job: &BuildJob,
        source: SourceStream,
        output: mpsc::Sender<Bytes>,
    ) -> Result<BuiltImage, JobError>;

    /// Puts the slug of an image that a build with buildpacks made on the newest images of its stack, without a build.
    /// Gives back the same image where that is what it stands on.
    ///
    /// # Errors
    ///
    /// [`JobError::Refused`] for an image that is gone or holds no slug, and for a stack that is not there.
    async fn rebase(&self, app: &AppName, image: &Image, stack: &StackName) -> Result<Image, JobError>;

    /// Runs a one-off process to its end. Its exit code is in the result, whatever it is.
    async fn run(&self, run: &OneOff) -> Result<ProcessResult, JobError>;
}

/// Runs interactive processes, with a terminal if a size is given, else with pipes.
///
/// Errors are the end of the session: [`Output::Ended`] with a [`JobError`].
pub trait Terminals: Send + Sync + 'static {
    /// Opens a session with a one-off process; `run.command` is the whole command. The process is removed with the
    /// session; if the platform died, its successor removes it.
    fn open(&self, run: OneOff, terminal: Option<TerminalSize>) -> Session;

    /// Opens a session with a command in a running pod of the app. Its processes end with the session. A pod that
    /// does not run, or belongs to another app, is [`JobError::Refused`].
    fn open_inside(&self, inside: PodCommand, terminal: Option<TerminalSize>) -> Session;
}

/// An image that a reference was resolved to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedImage {
    /// The image, pinned by digest.
    pub image: Image,
    /// Exposed TCP ports, ascending.
    pub ports: Vec<u16>,
    /// User of the image's config; empty for root.
    pub user: String,
}

/// User name and password for a registry.
#[derive(Clone)]
pub struct RegistryCredentials {
    pub username: String,
    pub password: String,
    /// `None` means the registry that the reference names.
    pub hostname: Option<String>,
}

/// Finds and keeps images.
///
/// # Errors
///
/// Every method returns [`ImageError::Engine`] with [`EngineError::Unreachable`] where the engine or the registry
/// gave no answer.
#[async_trait]
pub trait Images: Send + Sync + 'static {
    /// Pins a reference to the digest that it has now, pulling the image if it is not here.
    ///
    /// # Errors
    ///
    /// [`ImageError::Malformed`], [`ImageError::NotFound`] or [`ImageError::Denied`] for the reference; without
    /// credentials Docker Hub's refusal is `NotFound`, since it answers alike for missing and private images.
    /// [`ImageError::Engine`] with [`EngineError::Refused`] for an image of the platform itself.
    async fn resolve(
        &self,
        reference: &str,
        credentials: Option<&RegistryCredentials>,
    ) -> Result<ResolvedImage, ImageError>;

    /// Keeps the image for `app` until [`Images::remove`], whatever becomes of its origin. Repeating it succeeds.
    ///
    /// # Errors
    ///
    /// [`ImageError::NotFound`] for an image that is gone, [`ImageError::Engine`] with [`EngineError::Refused`]
    /// for one of another app.
    async fn keep(&self, app: &AppName, image: &Image) -> Result<(), ImageError>;

    /// Removes what the platform built or kept for `app`; nothing that others use, nothing of the user's. Removing
    /// an image that is gone succeeds.
    async fn remove(&self, app: &AppName, image: &Image) -> Result<(), ImageError>;

    /// Images that are stored by app: built for it or kept, and not removed. Those of `apps` at least; also those
    /// of other apps, such as destroyed ones, where the engine can list them. An error means no list, never a part
    /// of one.
    async fn stored(&self, apps: &[AppName]) -> Result<BTreeSet<(AppName, Digest)>, ImageError>;

    /// Lists the packages of an image of `app` as its processes see them: what an upper layer removes is not there.
    /// The whole image is read, for seconds or minutes.
    ///
    /// # Errors
    ///
    /// [`ImageError::NotFound`] for an image that is gone, [`ImageError::Engine`] with [`EngineError::Refused`]
    /// for one of another app, and for one that is no image or beyond a bound of [`packages`].
    async fn packages(&self, app: &AppName, image: &Image) -> Result<Inventory, ImageError>;
}

/// Keeps copies of pushed source that outlive the builder's disk.
///
/// # Errors
///
/// [`EngineError::Unreachable`] where the registry gave no answer; [`EngineError::Refused`] for its other answers,
/// for a file that cannot be read or written, and for a transfer that took too long.
#[async_trait]
pub trait Bundles: Send + Sync + 'static {
    /// Keeps a bundle of the app's repository in place of the previous one; after an error one of the two is kept.
    /// `id` is the id of the app: a name may belong to one app after another.
    async fn store(&self, app: &AppName, id: &str, bundle: &Path) -> Result<(), EngineError>;

    /// Writes the kept bundle to `to` and returns true; false if there is none of the app with this id. After an
    /// error `to` may hold a part of it.
    async fn fetch(&self, app: &AppName, id: &str, to: &Path) -> Result<bool, EngineError>;
}

/// Publishes route tables to routers, and receives their reports.
pub trait Routes: Send + Sync + 'static {
    /// The current table and every later one; a slow reader skips to the newest.
    fn watch(&self) -> watch::Receiver<Arc<RouteTable>>;

    /// Records a router's report. Draining waits until reports show that a replica has no more requests.
    fn report(&self, report: RouterReport);
}

/// Lines of processes, as an engine reads them from its containers.
pub trait LogSource: Send + Sync + 'static {
    /// All lines from now on, and those of each app in `since` that are younger than its time.
    /// The stream ends only with the engine; a slow reader loses the oldest lines, not the newest.
    fn follow(&self, since: BTreeMap<AppName, Timestamp>) -> Pin<Box<dyn Stream<Item = LogLine> + Send>>;
}

/// Takes the lines that parts of the platform add to the logs of apps. It leads to the logger, past every engine.
pub trait LogSink: Send + Sync + 'static {
    /// Adds a line to the log of its app. Never blocks: while the logger takes no lines, the oldest are dropped.
    fn write(&self, line: LogLine);
}
