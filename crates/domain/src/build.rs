//! Builds: the input and output of a build job, and the part of it that a release keeps.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::image::Image;
use crate::names::{AppName, ProcessType};
use crate::submodules::Submodule;

/// Kind of a build (docs/spec/components.md 1.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BuildKind {
    /// `slug build` in the stack image; the result is the stack plus one layer.
    Buildpack,
    /// The Dockerfile at the root of the source.
    Dockerfile,
}

/// One build to run.
#[derive(Debug, Clone, PartialEq)]
pub struct BuildJob {
    pub app: AppName,
    /// First eight characters of the commit.
    pub sha: String,
    pub kind: BuildKind,
    /// Fetched into the source before the build begins.
    pub submodules: Vec<Submodule>,
    /// The app's config; reaches user code as files (buildpack) or build arguments (Dockerfile),
    /// never as the environment of the platform's own program.
    pub env: BTreeMap<String, String>,
    /// Keeps the cache of the pack; `false` also removes a cache that was kept.
    pub cache: bool,
    /// Passes `env` as Docker build arguments (`DEIS_DOCKER_BUILD_ARGS_ENABLED`).
    pub build_args: bool,
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

/// Content of a release: an image and the commands of its processes. Immutable once recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    pub image: Image,
    /// The build's `image` in the API: the reference that the user gave, or the pinned image.
    pub reference: String,
    /// First eight characters of the commit; empty for an image that a user brought.
    pub sha: String,
    pub procfile: BTreeMap<ProcessType, String>,
    /// Made from a Dockerfile.
    pub dockerfile: bool,
    /// Exposed TCP ports, ascending.
    pub ports: Vec<u16>,
}

/// Origin of a build (docs/spec/api.md 4.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    Buildpack,
    Dockerfile,
    Image,
}

impl Build {
    /// Origin, as the recorded fields show it: `dockerfile`, else a `sha`, else an image.
    pub fn origin(&self) -> Origin {
        match (self.dockerfile, self.sha.is_empty()) {
            (true, _) => Origin::Dockerfile,
            (false, false) => Origin::Buildpack,
            (false, true) => Origin::Image,
        }
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
