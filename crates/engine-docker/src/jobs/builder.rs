//! The container that carries out one Dockerfile: a BuildKit daemon without privileges, for this build alone.
//!
//! It shares nothing with Docker's own store or with other builds but the app's volume of layers. User code
//! runs in it as steps of BuildKit: in namespaces of their own, without the daemon's files in sight.

use std::collections::BTreeMap;
use std::time::Duration;

use bollard::errors::Error;
use bollard::models::{ContainerCreateBody, HostConfig, Mount};
use bytes::Bytes;
use domain::build::BuildJob;
use domain::submodules::SUBMODULES_FILE;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use serde_json::json;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;

use super::archive::SmallArchive;
use super::bases::mount;
use super::buildpack::read_bundle;
use super::container::{JobContainer, bounded};
use super::failure::{self, file_error, job_error};
use super::{DockerHost, caches, volume_size};
use engine::buildkit::{self, ClientOutput, ProcessSandbox};
use engine::job::{CA_BUNDLE, CA_VARIABLES, submodule_list};
use engine::{EngineError, JobError, SourceStream};

const SOURCE: &str = "/workspace/source";
/// Folder of the app's config, a file for each variable; no step of the user's sees it.
const CONFIG: &str = "/workspace/env";
/// Path of the result's layout.
pub const LAYOUT: &str = "/workspace/out/image";
/// Bytes kept of the daemon's output.
const SAID_BYTES_MAX: usize = 64 << 10;
/// Longest wait for the last output of a daemon that has ended.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// Part of the bound that is left after a build: records and databases of BuildKit come on top.
const KEPT_PERCENT: u64 = 80;

/// System calls that neither the daemon nor runc needs; steps have containerd's default profile on top.
const DENIED_CALLS: &[&str] = &[
    "acct",
    "add_key",
    "bpf",
    "clock_settime",
    "delete_module",
    "finit_module",
    "init_module",
    "io_uring_enter",
    "io_uring_register",
    "io_uring_setup",
    "ioperm",
    "iopl",
    "kexec_file_load",
    "kexec_load",
    "lookup_dcookie",
    "nfsservctl",
    "open_by_handle_at",
    "perf_event_open",
    "process_vm_readv",
    "process_vm_writev",
    "quotactl",
    "reboot",
    "request_key",
    "settimeofday",
    "swapoff",
    "swapon",
    "userfaultfd",
];

/// A builder that runs.
pub struct BuildkitContainer {
    pub container: JobContainer,
    /// Output of the daemon, needed only when it does not start.
    daemon: Mutex<JoinHandle<String>>,
}

/// Starts the daemon with the source in place.
pub async fn start(
    place: &DockerHost<'_>,
    job: &BuildJob,
    source: SourceStream,
    bases: Vec<Mount>,
) -> Result<BuildkitContainer, JobError> {
    let network = place.builds_network().await?;
    let volume = place.layers_volume(&job.app);
    let body = body(place, job, network, &volume, bases);
    let container = JobContainer::create(place.docker, &place.job_name("dockerbuild", job), body)
        .await
        .map_err(|error| image_error(place, error))?;
    let files = given_files(place, job).await?;
    container.put("/", files).await.map_err(|error| job_error("fill the build's container", error))?;
    let owner = u64::from(buildkit::USER_ID);
    container.put_source(SOURCE, source, (owner, owner)).await?;
    let daemon = container.start().await.map_err(|error| job_error("start the build", error))?;
    // Read to its end, so that the daemon never waits for a reader.
    Ok(BuildkitContainer { container, daemon: Mutex::new(tokio::spawn(first_words(daemon))) })
}

fn body(
    place: &DockerHost<'_>,
    job: &BuildJob,
    network: String,
    volume: &str,
    bases: Vec<Mount>,
) -> ContainerCreateBody {
    let settings = place.settings;
    let labels = place.labels(&job.app, "build");
    let mounts = bases.into_iter().chain([mount(volume, buildkit::STATE, false, Some(labels.clone()))]);
    let bounded = bounded(settings.build_memory_bytes, settings.build_pids_max);
    let profile = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "archMap": [
            {
                "architecture": "SCMP_ARCH_X86_64",
                "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"],
            },
            { "architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"] },
        ],
        "syscalls": [{ "names": DENIED_CALLS, "action": "SCMP_ACT_ERRNO" }],
    });
    let options = [format!("seccomp={profile}"), "apparmor=unconfined".to_owned()];
    ContainerCreateBody {
        image: Some(settings.builder_image.clone()),
        user: Some("0:0".to_owned()),
        entrypoint: Some(buildkit::daemon(ProcessSandbox::Yes)),
        cmd: Some(Vec::new()),
        env: Some(environment(place)),
        labels: Some(labels),
        host_config: Some(HostConfig {
            network_mode: Some(network),
            cap_drop: Some(vec!["ALL".to_owned()]),
            cap_add: Some(buildkit::CAPABILITIES.map(str::to_owned).to_vec()),
            // Each step mounts a `/proc` of its own, which the kernel allows only where none is masked. Who
            // could write to what is unmasked is root of the machine, and nobody here is after the start.
            masked_paths: Some(Vec::new()),
            readonly_paths: Some(Vec::new()),
            mounts: Some(mounts.collect()),
            security_opt: bounded
                .security_opt
                .clone()
                .map(|given| given.into_iter().chain(options).collect()),
            ..bounded
        }),
        ..ContainerCreateBody::default()
    }
}

/// The beginning of what a process says; ends with it.
async fn first_words(mut stream: impl Stream<Item = Result<Bytes, Error>> + Unpin) -> String {
    let mut said = Vec::new();
    while let Some(Ok(chunk)) = stream.next().await {
        let room = SAID_BYTES_MAX.saturating_sub(said.len());
        said.extend_from_slice(&chunk[..chunk.len().min(room)]);
    }
    String::from_utf8_lossy(&said).trim().to_owned()
}

/// Environment of the daemon for registries: proxies and certificate authorities.
fn environment(place: &DockerHost<'_>) -> Vec<String> {
    let own = buildkit::ENVIRONMENT.into_iter().map(|(name, value)| format!("{name}={value}"));
    let bundle = place.settings.build_ca_bundle.iter().flat_map(|_| CA_VARIABLES);
    let bundle = bundle.map(|name| format!("{name}={CA_BUNDLE}"));
    let given = place.settings.build_env.iter().map(|(name, value)| format!("{name}={value}"));
    own.chain(bundle).chain(given).collect()
}

async fn given_files(place: &DockerHost<'_>, job: &BuildJob) -> Result<Bytes, JobError> {
    let what = "fill the build's container";
    let bundle = read_bundle(place).await?;
    let mut archive = SmallArchive::new();
    let mut add = |path: &str, content: &[u8], mode, owner| {
        archive.add(path, content, mode, (owner, owner)).map_err(|error| file_error(what, &error))
    };
    add(buildkit::config_path(), buildkit::config([]).as_bytes(), 0o644, 0)?;
    if let Some(list) = submodule_list(&job.submodules) {
        add(&format!("workspace/{SUBMODULES_FILE}"), &list, 0o400, u64::from(buildkit::USER_ID))?;
    }
    for (name, value) in &job.env {
        let path = format!("{}/{name}", CONFIG.trim_start_matches('/'));
        add(&path, value.as_bytes(), 0o400, u64::from(buildkit::USER_ID))?;
    }
    if let Some(bundle) = bundle {
        add(CA_BUNDLE.trim_start_matches('/'), &bundle, 0o644, 0)?;
    }
    archive.finish().map_err(|error| file_error(what, &error))
}

/// Says how to get the builder's image where it is missing.
pub fn image_error(place: &DockerHost<'_>, error: Error) -> JobError {
    if failure::status(&error) == Some(404) {
        let name = &place.settings.builder_image;
        let reason = format!(
            "Docker has no image {name}, in which Dockerfiles are built; make it with `cargo xtask stack`"
        );
        return JobError::Refused { reason };
    }
    job_error("make the build's container", error)
}

impl BuildkitContainer {
    /// Fetches the submodules and runs the build to its end, or until it uses more disk than it may.
    pub async fn build(
        &self,
        place: &DockerHost<'_>,
        job: &BuildJob,
        bases: &[buildkit::Base],
        output: &mpsc::Sender<Bytes>,
    ) -> Result<(), JobError> {
        let config = job.dockerfile.build_args.then_some(&job.env);
        let secrets = job.env.keys().map(|name| (name.clone(), format!("{CONFIG}/{name}"))).collect();
        let mut labels: BTreeMap<_, _> = place.labels(&job.app, "build").into_iter().collect();
        // The label of jobs marks containers to be removed; the app's own would inherit it.
        labels.retain(|name, _| !name.ends_with(".job"));
        let command = buildkit::build(&buildkit::FrontendBuild {
            source: SOURCE,
            dockerfile: &job.dockerfile,
            secrets: &secrets,
            output: buildkit::Output::Layout(LAYOUT),
            compression: buildkit::Compression::Gzip,
            args: &buildkit::build_args(&place.settings.build_env, config),
            labels: &labels,
            bases,
            cache: job.cache,
            layers: None,
            other_frontends: place.settings.build_frontends,
        });
        let work = async {
            self.fetch_submodules(job, output).await?;
            self.forget_sources().await?;
            self.carry_out(place, command, output).await
        };
        let volume = place.layers_volume(&job.app);
        let volumes = [volume.as_str()];
        tokio::select! {
            done = work => done,
            beyond = caches::beyond_bound(place, &self.container, &volumes, &place.settings.builder_image) => {
                Err(beyond)
            }
        }
    }

    /// By a process beside the daemon, before any step of the user's runs.
    async fn fetch_submodules(&self, job: &BuildJob, output: &mpsc::Sender<Bytes>) -> Result<(), JobError> {
        if job.submodules.is_empty() {
            return Ok(());
        }
        let failed = |error| job_error("fetch the submodules", error);
        let command = buildkit::submodules(buildkit::USER_ID);
        let mut exec = self.container.exec(command).await.map_err(failed)?;
        while let Some(chunk) = exec.output.next().await {
            let _ = output.send(chunk.map_err(failed)?).await;
        }
        match self.container.exit_code(exec).await.map_err(failed)? {
            Some(0) => Ok(()),
            code => Err(JobError::Failed { exit_code: code.unwrap_or(1) }),
        }
    }

    /// Makes BuildKit read the whole source. What it kept of the one before it compares by size and time alone, and git
    /// gives all files of a commit one time, in seconds.
    async fn forget_sources(&self) -> Result<(), JobError> {
        self.output_of(buildkit::forget_sources())
            .await
            .map(drop)
            .map_err(|error| job_error("empty the build's cache of sources", error))
    }

    /// Runs BuildKit's client and sorts its end.
    async fn carry_out(
        &self,
        place: &DockerHost<'_>,
        command: Vec<String>,
        output: &mpsc::Sender<Bytes>,
    ) -> Result<(), JobError> {
        let mut said = ClientOutput::default();
        match self.run(command, &mut said, output).await {
            Ok(Some(0)) => Ok(()),
            Ok(_) if !said.is_empty() => Err(self.failure(place, &said).await),
            Ok(_) => Err(self.daemon_failure().await),
            Err(error) => match job_error("build the Dockerfile", error) {
                JobError::Engine(EngineError::Refused { .. }) => Err(self.daemon_failure().await),
                other => Err(other),
            },
        }
    }

    /// The daemon has ended before the build began.
    async fn daemon_failure(&self) -> JobError {
        let mut daemon = self.daemon.lock().await;
        let said = tokio::time::timeout(LAST_WORDS, &mut *daemon).await;
        let said = said.ok().and_then(Result::ok).unwrap_or_default();
        let first = said.lines().next().unwrap_or("it says nothing");
        JobError::Refused { reason: format!("BuildKit does not run in its container: {first}") }
    }

    /// Runs the client and forwards its output; returns its exit code.
    async fn run(
        &self,
        command: Vec<String>,
        said: &mut ClientOutput,
        output: &mpsc::Sender<Bytes>,
    ) -> Result<Option<i64>, Error> {
        let mut exec = self.container.exec(command).await?;
        while let Some(chunk) = exec.output.next().await {
            // A listener that went away does not stop the job.
            let _ = output.send(Bytes::from(said.take(&chunk?))).await;
        }
        let _ = output.send(Bytes::from(said.rest())).await;
        self.container.exit_code(exec).await
    }

    /// Sorts a failure: a bound of the platform's, or the user's.
    async fn failure(&self, place: &DockerHost<'_>, said: &ClientOutput) -> JobError {
        /// Exit code of a process that was killed, as the kernel does when memory runs out.
        const EXIT_KILLED: i64 = 137;
        let exit_code = said.exit_code();
        if exit_code == EXIT_KILLED || self.container.is_out_of_memory().await {
            let bound = failure::size(place.settings.build_memory_bytes);
            return JobError::Refused {
                reason: format!(
                    "a step of the build was killed; the build may have at most {bound} of memory"
                ),
            };
        }
        JobError::Failed { exit_code }
    }

    /// Brings the cache below its bound and measures it.
    pub async fn prune(&self, place: &DockerHost<'_>) -> Result<u64, Error> {
        let kept = place.settings.build_caches.app_bytes_max / 100 * KEPT_PERCENT;
        self.output_of(buildkit::prune(kept)).await?;
        let mut command = buildkit::in_user_namespace();
        command.extend(volume_size::measure([buildkit::STATE].into_iter()));
        Ok(volume_size::measured(&self.output_of(command).await?).unwrap_or_default())
    }

    async fn output_of(&self, command: Vec<String>) -> Result<String, Error> {
        let output = self.container.exec(command).await?.output;
        let said: Vec<Bytes> = output.try_collect().await?;
        Ok(String::from_utf8_lossy(&said.concat()).into_owned())
    }
}
