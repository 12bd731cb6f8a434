//! The platform's own steps of a build in a cluster, run in the build's pod: receive the source, build a
//! Dockerfile, upload the result.
//!
//! The steps run side by side and let one another begin by FIFOs. User code runs in a container of its own. Its output
//! is read as untrusted, and as if it changed meanwhile: through no link, within limits. Only the last step can write
//! to the registry.

mod cache;
mod dockerfile;
mod fifos;
mod layers;
mod receive;
mod staging;
mod upload;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use domain::build::BuildKind;
use domain::build_plan::DockerfileOptions;
use domain::build_steps::OUTPUT_END;
use domain::registry_access::cache_repository;
use domain::submodules::Submodule;
use domain::{AppName, Digest, ProcessType};
use serde::{Deserialize, Serialize};

use oci::{Access, Login, Repository, Transport};

/// Mount path of a volume of the upload's own, in builds of Dockerfiles.
pub use staging::FOLDER as STAGING;

/// Mount path of the pod's volume in every step.
pub const WORKSPACE: &str = "/workspace";
/// Marker after the source archive: without it the source was cut off.
pub const SOURCE_END: &[u8] = b"deis: this is the end of the source\n";
/// Sent before the source, until the first step answers with [`READY`]: the API server accepts a connection before the
/// node has found the container, and what is sent then is lost.
pub const PROBE: u8 = b'?';
/// Sent between the last [`PROBE`] and the source.
pub const SOURCE_BEGIN: u8 = b'!';
/// Answer to a [`PROBE`].
pub const READY: &[u8] = b"ready\n";
/// Variable of a step's container with the JSON of its [`Spec`].
pub const SPEC_VARIABLE: &str = "DEIS_BUILD_SPEC";
/// Variable of a step's container with the password for the registry.
pub const PASSWORD_VARIABLE: &str = "DEIS_BUILD_PASSWORD";

/// Tags in the cache repository: the cache of packs, and layers of Dockerfiles.
pub const CACHE_TAGS: [&str; 2] = [cache::TAG, layers::TAG];

/// Tag of the cache that builds of this kind use.
pub fn cache_tag(kind: BuildKind) -> &'static str {
    match kind {
        // Builds with Cloud Native Buildpacks have no steps of this kind yet.
        BuildKind::Buildpack | BuildKind::Cnb => cache::TAG,
        BuildKind::Dockerfile => layers::TAG,
    }
}

/// Exit code of a step that says on its last line what the user must change.
pub const EXIT_REFUSED: i32 = 65;
/// Exit code of a step that has not run as the step before it failed.
pub const EXIT_NOT_RUN: i32 = domain::build_steps::EXIT_NOT_RUN as i32;
const EXIT_FAILED: i32 = 70;

/// One of the steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Takes the source from standard input and fetches what the build before kept.
    Receive,
    /// Carries out a Dockerfile.
    Dockerfile,
    /// Sends the image, and what the next build may use again, to the registry.
    Upload,
}

impl Step {
    /// Name of the step on a command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Receive => "receive",
            Self::Dockerfile => "dockerfile",
            Self::Upload => "upload",
        }
    }
}

impl std::str::FromStr for Step {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let steps = [Self::Receive, Self::Dockerfile, Self::Upload];
        steps
            .into_iter()
            .find(|step| step.as_str() == text)
            .ok_or_else(|| format!("`{text}` is no step of a build"))
    }
}

/// Parameters of the steps. Nothing in it is a secret of the platform's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spec {
    pub app: AppName,
    pub kind: BuildKind,
    pub submodules: Vec<Submodule>,
    /// The registry, as pods reach it: scheme, host, port.
    pub registry_url: String,
    /// Prefix of all its repositories; empty or with a slash at its end.
    pub registry_prefix: String,
    /// The registry's host for nodes.
    pub node_host: String,
    /// Repository of the stack's layers, and its tag or digest.
    pub stack_repository: String,
    pub stack_version: String,
    /// Toolchains of the stack that the build has.
    pub toolchains: BTreeSet<String>,
    /// Keeps caches.
    pub cache: bool,
    pub dockerfile: DockerfileOptions,
    /// Allows a `# syntax=` line to load another frontend of BuildKit.
    pub frontends: bool,
    pub slug_bytes_max: u64,
    pub cache_bytes_max: u64,
    /// Registries that speak plain HTTP.
    pub insecure_hosts: Vec<String>,
    pub username: String,
}

/// Result of a build: the last line of the last step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BuildOutput {
    pub image_digest: Digest,
    pub ports: Vec<u16>,
    pub user: String,
    pub process_types: BTreeMap<ProcessType, String>,
}

/// A failed step.
#[derive(Debug, thiserror::Error)]
enum StepError {
    /// The user must change something.
    #[error("{0}")]
    Refused(String),
    #[error("the step before failed")]
    NotRun,
    /// The user's program ended with this code.
    #[error("exited with code {0}")]
    Exited(i32),
    #[error("{what}: {source}")]
    Io { what: String, source: std::io::Error },
    #[error(transparent)]
    Registry(#[from] oci::OciError),
    #[error(transparent)]
    Archive(#[from] oci::ArchiveError),
}

impl StepError {
    fn exit_code(&self) -> i32 {
        match self {
            Self::Refused(_) => EXIT_REFUSED,
            Self::NotRun => EXIT_NOT_RUN,
            Self::Exited(code) => *code,
            Self::Io { .. } | Self::Registry(_) | Self::Archive(_) => EXIT_FAILED,
        }
    }
}

trait OrFailed<T> {
    fn or_failed(self, what: impl Into<String>) -> Result<T, StepError>;
}

impl<T> OrFailed<T> for std::io::Result<T> {
    fn or_failed(self, what: impl Into<String>) -> Result<T, StepError> {
        self.map_err(|source| StepError::Io { what: what.into(), source })
    }
}

/// Runs a step and returns the exit code for its process: 0, [`EXIT_REFUSED`], [`EXIT_NOT_RUN`], the exit code of the
/// user's program, or 70 for other errors, whose text is printed. The spec is JSON of [`Spec`].
pub async fn run(step: Step, spec: &str, password: Option<String>) -> i32 {
    let spec: Spec = match serde_json::from_str(spec) {
        Ok(spec) => spec,
        Err(error) => {
            println!("the build's spec cannot be read: {error}");
            return EXIT_FAILED;
        }
    };
    let pod = BuildPod { step, spec, password, workspace: WORKSPACE.into(), transport: Transport::new() };
    let done = match step {
        Step::Receive => receive::receive(&pod).await,
        Step::Dockerfile => dockerfile::build(&pod).await,
        Step::Upload => upload::upload(&pod).await,
    };
    match done {
        Ok(()) => {
            print!("{OUTPUT_END}");
            eprint!("{OUTPUT_END}");
            0
        }
        Err(error) => {
            if !matches!(error, StepError::Exited(_) | StepError::NotRun) {
                println!("{error}");
            }
            error.exit_code()
        }
    }
}

/// A step's surroundings.
struct BuildPod {
    step: Step,
    spec: Spec,
    password: Option<String>,
    workspace: PathBuf,
    transport: Transport,
}

impl BuildPod {
    fn folder(&self, name: &str) -> PathBuf {
        self.workspace.join(name)
    }

    fn repository(&self, name: &str, access: Access) -> Repository {
        let username = self.spec.username.clone();
        let login = self.password.clone().map(|password| Login { username, password });
        Repository::new(&self.transport, &self.spec.registry_url, &self.full_name(name), login, access)
    }

    /// Name of a repository in the registry.
    fn full_name(&self, name: &str) -> String {
        format!("{}{name}", self.spec.registry_prefix)
    }

    fn cache_repository(&self, access: Access) -> Repository {
        self.repository(&cache_repository(&self.spec.app), access)
    }
}
