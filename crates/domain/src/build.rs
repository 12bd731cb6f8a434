//! Builds: the input and output of a build job, and the part of it that a release keeps.

mod record;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::build_plan::{CnbOptions, DockerfileOptions};
use crate::cnb;
use crate::image::Image;
use crate::names::{AppName, ProcessType};
use crate::slug_image::SLUG_USER_ID;
use crate::stacks::StackName;
use crate::submodules::Submodule;

pub use crate::build_plan::BuildKind;

/// Port of a process of a slug image.
const SLUG_PORT: u16 = 5000;
/// Program that starts commands in a slug's environment.
const SLUG_RUN: [&str; 3] = ["/usr/bin/slug", "run", "--"];

/// One build to run.
#[derive(Debug, Clone, PartialEq)]
pub struct BuildJob {
    pub app: AppName,
    /// First eight characters of the commit.
    pub sha: String,
    pub kind: BuildKind,
    /// Stack of a build with buildpacks, and its toolchains that the source needs.
    pub stack: StackName,
    pub toolchains: BTreeSet<String>,
    /// Fetched into the source before the build begins.
    pub submodules: Vec<Submodule>,
    /// The app's config; reaches user code as files (buildpack), or as secrets and build arguments (Dockerfile), never as
    /// the environment of the platform's own program.
    pub env: BTreeMap<String, String>,
    /// Keeps the cache of the pack; `false` also removes a cache that was kept.
    pub cache: bool,
    /// Of a build of a Dockerfile.
    pub dockerfile: DockerfileOptions,
    /// Of a build with Cloud Native Buildpacks.
    pub cnb: CnbOptions,
    /// Seconds until the build is stopped.
    pub deadline_seconds: u32,
}

/// The image that a build made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuiltImage {
    pub image: Image,
    /// Exposed TCP ports, ascending.
    pub ports: Vec<u16>,
    /// User of the image's config; empty means root.
    pub user: String,
    /// Process types that the build found: the Procfile's, else the pack's defaults.
    pub process_types: BTreeMap<ProcessType, String>,
}

/// Content of a release: images and the commands of its processes. Immutable once recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "record::BuildRecord", into = "record::BuildRecord")]
pub struct Build {
    pub origin: Origin,
    /// The build's `image` in the API: the reference that the user gave, or the pinned image.
    pub reference: String,
    /// First eight characters of the commit; empty for an image that a user brought.
    pub sha: String,
    /// An empty command is the own one of the type's image.
    pub procfile: BTreeMap<ProcessType, String>,
    /// Launch of all process types but those in `launches`, and of one-off processes.
    pub launch: Launch,
    /// Stack that a slug stands on; builds from before there was a choice say none.
    pub stack: Option<StackName>,
    /// Process types that are launched in a way of their own, such as from an image of their own.
    pub launches: BTreeMap<ProcessType, Launch>,
    /// Half a sentence that says why the source was built in this way; empty where that was not recorded.
    pub reason: String,
}

/// Origin of a build (docs/spec/api.md 4.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    Buildpack,
    Dockerfile,
    Image,
    /// Cloud Native Buildpacks.
    Cnb,
}

impl Origin {
    /// Kind of the build that the platform has run, if it has.
    pub fn kind(self) -> Option<BuildKind> {
        match self {
            Self::Buildpack => Some(BuildKind::Buildpack),
            Self::Dockerfile => Some(BuildKind::Dockerfile),
            Self::Cnb => Some(BuildKind::Cnb),
            Self::Image => None,
        }
    }
}

/// Way in which processes of a build are started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launch {
    pub image: Image,
    /// Program in front of a command line, for images whose entrypoint takes the name of a process type or `--` and a
    /// command line; it gives the command line the same environment. Without it the entrypoint is the image's own, and
    /// commands run in a shell.
    pub prefix: Option<Vec<String>>,
    /// Program in place of the image's entrypoint, for images that have one for each process type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// Numeric id; `None` leaves it to the image.
    pub user: Option<u32>,
    /// TCP port that the process listens on unless `PORT` is set.
    pub port: Option<u16>,
}

impl Launch {
    /// Launch of an image of this origin that exposes these ports.
    pub fn of(origin: Origin, image: Image, ports: &[u16]) -> Self {
        match origin {
            // Slugs never need root.
            Origin::Buildpack => Self {
                image,
                prefix: Some(SLUG_RUN.map(str::to_owned).to_vec()),
                entrypoint: None,
                user: Some(SLUG_USER_ID),
                port: Some(SLUG_PORT),
            },
            Origin::Dockerfile | Origin::Image => {
                Self { image, prefix: None, entrypoint: None, user: None, port: ports.first().copied() }
            }
            Origin::Cnb => {
                let launcher = Some(vec![cnb::LAUNCHER.to_owned()]);
                let (prefix, entrypoint) = (launcher.clone(), launcher);
                Self { image, prefix, entrypoint, user: None, port: Some(SLUG_PORT) }
            }
        }
    }

    /// Launch of a process type that an image made by Cloud Native Buildpacks has.
    #[must_use]
    pub fn of_image_process(self, process: &ProcessType) -> Self {
        Self { entrypoint: Some(vec![format!("{}/{process}", cnb::PROCESSES)]), ..self }
    }
}

impl Build {
    pub fn launch(&self, process: &ProcessType) -> &Launch {
        self.launches.get(process).unwrap_or(&self.launch)
    }

    /// Stack of a slug; the others have none.
    pub fn slug_stack(&self) -> Option<StackName> {
        let stack = || self.stack.clone().unwrap_or_else(StackName::bookworm);
        (self.origin == Origin::Buildpack).then(stack)
    }

    /// The build with its slug on other images of its stack.
    #[must_use]
    pub fn rebased(&self, app: &AppName, image: Image) -> Self {
        let reference = format!("{app}@{}", image.digest());
        let launch = Launch { image, ..self.launch.clone() };
        let launches = self.launches.clone().into_iter();
        let launches =
            launches.map(|(process, own)| (process, Launch { image: launch.image.clone(), ..own })).collect();
        Self { reference, launch, launches, ..self.clone() }
    }

    pub fn images(&self) -> impl Iterator<Item = &Image> {
        std::iter::once(&self.launch).chain(self.launches.values()).map(|launch| &launch.image)
    }
}

/// A one-off process: `deis run`.
#[derive(Debug, Clone, PartialEq)]
pub struct OneOff {
    pub app: AppName,
    /// `<app>-run-<5 of a-z0-9>`.
    pub name: String,
    pub release: u64,
    pub image: Image,
    pub command: Option<Vec<String>>,
    pub args: Option<Vec<String>>,
    pub env: BTreeMap<String, String>,
    /// As of a workload's replicas.
    pub user: Option<u32>,
    pub limits: crate::deployment::Limits,
    pub tags: BTreeMap<String, String>,
    pub pull_policy: Option<crate::deployment::PullPolicy>,
    /// As of a workload's replicas.
    pub knows_address: bool,
    /// Seconds until it is stopped.
    pub deadline_seconds: u32,
}

/// Result of a one-off process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessResult {
    pub exit_code: i64,
    /// stdout and stderr as they came, UTF-8 (other bytes replaced).
    pub output: String,
}
