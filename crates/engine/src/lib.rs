//! Engines: what makes workloads run, behind a few small traits.
//!
//! Full desired state in, observed state out, idempotent. Nothing here is shaped like Kubernetes or
//! Docker. Every promise of a trait is a line in `conformance`, which each engine passes.

pub mod build_steps;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod docker;
mod failure_text;
pub mod fake;
mod image_text;
mod job;
pub mod kubernetes;
mod lines;
mod log_text;
pub mod oci;
pub mod private_file;
mod replica;
mod route;
mod session;
mod wish;

use std::collections::BTreeMap;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use domain::build::{BuildJob, BuiltImage, Finished, OneOff};
use domain::deployment::{Workload, WorkloadId};
use domain::logs::LogLine;
use domain::pods::{Pod, PodSelection};
use domain::routing::{AppRouting, RouteTable, RouterReport};
use domain::terminal::TerminalSize;
use domain::{AppName, Image};
use futures_util::Stream;
use jiff::Timestamp;
use tokio::io::AsyncRead;
use tokio::sync::{mpsc, watch};

pub use session::{Input, Inside, Output, Session};

/// What went wrong at the engine, and whether trying again can help.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Trying again later may help.
    #[error("{what}: the engine is unreachable")]
    Unreachable {
        what: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Trying again will not help until something named in `reason` changes.
    #[error("{what}: {reason}")]
    Refused { what: String, reason: String },
}

/// Why a job gave no result.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The user's code ended with this code.
    #[error("exited with code {exit_code}")]
    Failed { exit_code: i64 },
    /// The job was stopped at its deadline.
    #[error("timed out after {seconds} seconds")]
    TimedOut { seconds: u32 },
    /// The job could not be run as asked, or broke a bound; `reason` says what to change.
    #[error("{reason}")]
    Refused { reason: String },
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// Why an image could not be had.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// Neither here nor where the reference points.
    #[error("image {reference} not found")]
    NotFound { reference: String },
    #[error("Permission Denied attempting to pull image {reference}")]
    Denied { reference: String },
    #[error("image reference `{reference}` is not valid: {reason}")]
    Malformed { reference: String, reason: String },
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// How the newest wish for a workload ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// All replicas of the wished release are ready, and all others are on their way out. After a change of
    /// scale alone, those too many are gone.
    Running,
    /// The wish was given up; what ran before it runs on. The reason is in plain words, with the
    /// app's last lines where it crashed.
    Failed { reason: String },
    /// A newer wish took its place.
    Superseded,
}

/// Makes workloads run and reports what runs.
///
/// Calls are idempotent: repeating one that succeeded changes nothing. `apply` only records the wish;
/// its end is learned from [`Engine::outcome`]. A wish that was recorded survives the death of the
/// process and is carried out by the next one.
#[async_trait]
pub trait Engine: Send + Sync + 'static {
    /// Records `workload` as wanted and begins to make it so: new replicas start, get traffic once
    /// ready, and only then are the old ones drained and stopped, also where there is just one.
    /// A change of `replicas` alone scales without replacing what runs.
    async fn apply(&self, workload: &Workload) -> Result<(), EngineError>;

    /// Waits until the wish for `release` of this workload has ended. Bounded by the workload's
    /// `start_timeout_seconds` and `grace_seconds` for each batch of replicas.
    async fn outcome(&self, id: &WorkloadId, release: u64) -> Result<Outcome, EngineError>;

    /// Stops the workload and forgets it. Removing one that does not exist succeeds.
    async fn remove(&self, id: &WorkloadId) -> Result<(), EngineError>;

    /// Removes all that belongs to the app: workloads, routing, network, build cache, images that the
    /// platform made for it. Nothing is left behind.
    async fn remove_app(&self, app: &AppName) -> Result<(), EngineError>;

    /// Lists the newest wish of each workload.
    async fn wanted(&self) -> Result<Vec<Workload>, EngineError>;

    /// Lists the app's pods, those on their way in or out included; one-off pods are left out.
    async fn pods(&self, app: &AppName) -> Result<Vec<Pod>, EngineError>;

    /// Replaces the selected pods by new ones of the same release, without losing a request, and
    /// returns those of the selection that run afterwards (for a named pod: its successor).
    async fn restart(&self, app: &AppName, selection: &PodSelection) -> Result<Vec<Pod>, EngineError>;

    /// Records how the app wants to be reached; replaces what was recorded before.
    async fn route(&self, routing: &AppRouting) -> Result<(), EngineError>;

    /// Whether some node carries all of these labels.
    async fn has_node_with(&self, tags: &BTreeMap<String, String>) -> Result<bool, EngineError>;
}

/// An uncompressed tar archive of the source.
pub type Source = Pin<Box<dyn AsyncRead + Send>>;

/// Runs jobs that end: builds and one-off processes.
///
/// Dropping the future stops the job and removes what it left.
#[async_trait]
pub trait Jobs: Send + Sync + 'static {
    /// Runs a build; sends the job's output as it comes, in whole or partial lines.
    async fn build(
        &self,
        job: &BuildJob,
        source: Source,
        output: mpsc::Sender<Bytes>,
    ) -> Result<BuiltImage, JobError>;

    /// Runs a one-off process to its end.
    async fn run(&self, run: &OneOff) -> Result<Finished, JobError>;
}

/// Runs processes that somebody sits in front of, with a terminal where a size is given, else with pipes.
///
/// What goes wrong is told by the session's end.
pub trait Terminals: Send + Sync + 'static {
    /// A one-off process, whose command is whole. It is removed with the session; one whose platform died is
    /// removed by the next.
    fn open(&self, run: OneOff, terminal: Option<TerminalSize>) -> Session;

    /// A command in a pod of the app that runs. Its processes end with the session.
    fn open_inside(&self, inside: Inside, terminal: Option<TerminalSize>) -> Session;
}

/// An image as the engine found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedImage {
    pub image: Image,
    /// Exposed TCP ports, ascending.
    pub ports: Vec<u16>,
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
#[async_trait]
pub trait Images: Send + Sync + 'static {
    /// Pins a reference to the digest that it has now, pulling the image if it is not here.
    async fn resolve(
        &self,
        reference: &str,
        credentials: Option<&RegistryCredentials>,
    ) -> Result<ResolvedImage, ImageError>;

    /// Keeps the image for `app` until [`Images::remove`], whatever becomes of its origin.
    async fn keep(&self, app: &AppName, image: &Image) -> Result<(), ImageError>;

    /// Removes what the platform built or kept for `app`; nothing that others use, nothing of the user's.
    async fn remove(&self, app: &AppName, image: &Image) -> Result<(), ImageError>;
}

/// Keeps copies of pushed source where they outlive the disk of whoever takes pushes.
#[async_trait]
pub trait Bundles: Send + Sync + 'static {
    /// Keeps a bundle of the app's repository in place of the one before. `id` is the app's, since a name
    /// may belong to one app after another.
    async fn store(&self, app: &AppName, id: &str, bundle: &Path) -> Result<(), EngineError>;

    /// Writes the kept bundle to `to`; `false` where there is none of this app.
    async fn fetch(&self, app: &AppName, id: &str, to: &Path) -> Result<bool, EngineError>;
}

/// Tells routers what to serve and hears what they are doing.
pub trait Routes: Send + Sync + 'static {
    /// The current table and every later one.
    fn watch(&self) -> watch::Receiver<Arc<RouteTable>>;

    /// Takes a router's report; draining waits for it.
    fn report(&self, report: RouterReport);
}

/// Lines of processes and of the platform.
pub trait Logs: Send + Sync + 'static {
    /// All lines from now on, and those of each app in `since` that are younger than its time.
    /// The stream ends only with the engine; a slow reader loses the oldest lines, not the newest.
    fn follow(&self, since: BTreeMap<AppName, Timestamp>) -> Pin<Box<dyn Stream<Item = LogLine> + Send>>;

    /// Adds a line that the platform says about an app. Never blocks.
    fn write(&self, line: LogLine);
}
