//! Promises of builds, and of one-off processes of what was built. An engine has them by `promises!(builds, World)`,
//! where `World` is a [`BuildSubject`].
//!
//! They replace two suites that were copies of one another; the history of this file lists which test became which
//! promise.

mod buildpack;
mod cache;
mod cancellation;
mod cnb;
mod credentials;
mod dockerfile;
mod limits;
mod one_off;
mod packages;
mod source;

use std::collections::{BTreeMap, BTreeSet};

use domain::build::{BuildJob, BuildKind, BuiltImage, OneOff};
use domain::build_caches::BuildCaches;
use domain::build_plan::{CnbOptions, DockerfileOptions};
use domain::deployment::Limits;
use domain::sbom::Inventory;
use domain::stacks::{Stack, Stacks};
use domain::{AppName, Image};
use testkit::{WAIT_MAX, wait_until};

use crate::{ImageError, JobError, Jobs, SourceStream};

pub use buildpack::*;
pub use cache::*;
pub use cancellation::*;
pub use cnb::*;
pub use credentials::*;
pub use dockerfile::*;
pub use limits::*;
pub use one_off::*;
pub use packages::*;
pub use source::*;

/// Seconds that a build or a process may take where its time is no part of the promise.
const DEADLINE_SECONDS: u32 = 240;

/// Stack whose images are other versions of those of the default stack.
const NEWER_STACK: &str = "newer";

/// The stacks of a world, with one that promises of rebases need.
pub fn with_newer_stack(stacks: Stacks) -> Stacks {
    let Stack { run, build, .. } = stacks.get(stacks.default_name()).expect("it is one of them");
    let newer = serde_json::json!({ "run": run, "build": build, "variable": NEWER_STACK });
    let file = serde_json::json!({ "stacks": { NEWER_STACK: newer } }).to_string();
    stacks.with_file(file.as_bytes()).expect("a good file")
}

/// Limits that a promise sets; `None` leaves those of the world.
#[derive(Debug, Clone, Copy, Default)]
pub struct BuildLimits {
    /// Memory of a build.
    pub memory_bytes: Option<u64>,
    /// Largest slug.
    pub slug_bytes_max: Option<u64>,
    /// Most caches of all apps together.
    pub caches_max: Option<usize>,
}

impl BuildLimits {
    /// Puts the limits that are given in the place of those of an engine's settings.
    pub fn replace(self, memory_bytes: &mut u64, slug_bytes_max: &mut u64, caches: &mut BuildCaches) {
        *memory_bytes = self.memory_bytes.unwrap_or(*memory_bytes);
        *slug_bytes_max = self.slug_bytes_max.unwrap_or(*slug_bytes_max);
        caches.count_max = self.caches_max.unwrap_or(caches.count_max);
    }
}

/// An engine under test that builds and has the stack image; its objects are removed with it.
#[allow(async_fn_in_trait, reason = "only tests implement and call it, each on one task")]
pub trait BuildSubject: Sized {
    /// The engine's builds and one-off processes.
    type Jobs: Jobs;

    /// A world of its own for one test.
    async fn start(limits: BuildLimits) -> Self;

    /// The engine under test.
    fn jobs(&self) -> &Self::Jobs;

    /// Lets another process of the platform go on, as after a kill of the one that there is.
    async fn take_over(&mut self);

    /// An app that no other test has.
    fn new_app(&self) -> AppName;

    /// Makes what a deployed app has besides its builds, by which later processes of the platform know it.
    fn deploy(&self, app: &AppName);

    /// Base image for Dockerfiles, with a shell and the usual programs.
    fn base(&self) -> &str;

    /// The stack image as the app's own.
    async fn stack_of(&self, app: &AppName) -> Image;

    /// Layers of the stack image, from the lowest.
    async fn stack_layers(&self) -> Vec<String>;

    /// Layers of the base image, from the lowest.
    async fn base_layers(&self) -> Vec<String>;

    /// Layers of an app's image, from the lowest.
    async fn layers(&self, app: &AppName, image: &Image) -> Vec<String>;

    /// [`crate::Images::packages`] of an image that an app may have.
    async fn packages(&self, app: &AppName, image: &Image) -> Result<Inventory, ImageError>;

    /// All names by which a Dockerfile could mean an image that the platform has of another app.
    fn names_of(&self, app: &AppName, image: &Image) -> Vec<String>;

    /// Returns true if the engine keeps a cache of the app's builds of this kind.
    async fn has_cache(&self, app: &AppName, kind: BuildKind) -> bool;

    /// Builds and one-off processes that are there now: containers or Jobs.
    fn running(&self) -> Vec<String>;

    /// All objects of builds and of the apps' one-off processes.
    fn objects(&self) -> Vec<String> {
        self.running()
    }
}

/// A build of an app of its own.
pub fn job<S: BuildSubject>(subject: &S, kind: BuildKind) -> BuildJob {
    BuildJob {
        app: subject.new_app(),
        sha: "0123abcd".to_owned(),
        kind,
        stack: Stacks::default().default_name().clone(),
        toolchains: BTreeSet::new(),
        submodules: Vec::new(),
        env: BTreeMap::new(),
        cache: true,
        dockerfile: DockerfileOptions::default(),
        cnb: CnbOptions::default(),
        deadline_seconds: DEADLINE_SECONDS,
    }
}

/// The image's own command.
pub fn one_off(app: &AppName, image: Image) -> OneOff {
    OneOff {
        app: app.clone(),
        name: format!("{app}-run-{:05x}", rand::random::<u32>() >> 12),
        release: 2,
        image,
        command: None,
        args: None,
        env: BTreeMap::new(),
        user: None,
        limits: Limits::default(),
        tags: BTreeMap::new(),
        pull_policy: None,
        knows_address: false,
        deadline_seconds: DEADLINE_SECONDS / 2,
    }
}

/// A command in an image that a buildpack made.
fn slug_command(app: &AppName, image: Image, command: &str) -> OneOff {
    OneOff { args: Some(vec!["--".to_owned(), command.to_owned()]), ..one_off(app, image) }
}

/// Runs a build of these files to its end; gives back its outcome and its output.
pub async fn build<S: BuildSubject>(
    subject: &S,
    job: &BuildJob,
    files: &[(&str, &str)],
) -> (Result<BuiltImage, JobError>, String) {
    build_source(subject, job, source(files)).await
}

/// As [`build`], of any source.
pub async fn build_source<S: BuildSubject>(
    subject: &S,
    job: &BuildJob,
    source: SourceStream,
) -> (Result<BuiltImage, JobError>, String) {
    run_build(|output| subject.jobs().build(job, source, output)).await
}

/// A build that succeeds, and its output.
pub async fn built<S: BuildSubject>(
    subject: &S,
    job: &BuildJob,
    files: &[(&str, &str)],
) -> (BuiltImage, String) {
    let (built, output) = build(subject, job, files).await;
    (built.unwrap_or_else(|error| panic!("{error}: {output}")), output)
}

/// Waits until nothing is left of builds and one-off processes.
pub async fn nothing_is_left<S: BuildSubject>(subject: &S) {
    wait_until("nothing is left of jobs", WAIT_MAX, async || match subject.objects() {
        left if left.is_empty() => Ok(()),
        left => Err(left),
    })
    .await;
}
