//! A build, in order: a Job is created with its Secrets, the source is sent, the output is forwarded, the last
//! step reports the result. The steps run side by side, so none of this waits for the node to notice an end.

use std::collections::BTreeMap;

use bytes::Bytes;
use domain::Image;
use domain::build::{BuildJob, BuildKind, BuiltImage};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::ByteString;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::api::{Patch, PatchParams, PostParams};
use kube::runtime::watcher;
use kube::{Api, ResourceExt as _};
use serde_json::json;
use tokio::sync::mpsc;

use super::build_pod::{self, BUILD, BuildSecretNames, PASSWORD_KEY, SOURCE, UPLOAD};
use super::caches::CacheUse;
use super::failure::{job_error, refused, size};
use super::guard::DeleteGuard;
use super::output::{BoundedOutput, OutputSink};
use super::stack::BuildImages;
use super::state::{self, ContainerState, ContainerTermination};
use super::step_output::StepOutput;
use super::watching::PodWatch;
use super::{KubernetesJobs, build_job, caches, output, source};
use engine::build_steps::{BuildOutput, EXIT_NOT_RUN, EXIT_REFUSED, Spec};
use engine::{JobError, SourceStream};

/// Bytes kept of a step's output: our own steps print little.
const SAID_BYTES_MAX: usize = 256 << 10;
/// Exit code of a process that was killed.
const EXIT_KILLED: i64 = 137;
const WHAT_START: &str = "start the build";

/// Runs the build; the caller bounds its time.
pub async fn build(
    jobs: &KubernetesJobs,
    job: &BuildJob,
    source: SourceStream,
    output: &mpsc::Sender<Bytes>,
) -> Result<BuiltImage, JobError> {
    let (image, stack) = match job.kind {
        BuildKind::Cnb => return Err(no_cnb()),
        BuildKind::Buildpack => {
            let BuildImages { build, run } = jobs.build_images(job).await?;
            (build, run)
        }
        BuildKind::Dockerfile => (jobs.settings.builder_image.clone(), jobs.default_stack_image().await?),
    };
    let _cache_use = CacheUse::new(jobs, job);
    if !job.cache {
        remove_cache(jobs, job).await;
    }
    let until = Timestamp::now() + SignedDuration::from_secs(i64::from(job.deadline_seconds) + 60);
    let credential = jobs.settings.registry.build_credential(&job.app, until);
    let spec = jobs.spec(job, &stack, &credential.username);
    let running = start(jobs, job, &image, &spec, &credential.password).await?;
    let built = watch(jobs, job, &running, source, output).await;
    running.guard.remove().await;
    let BuildOutput { image_digest, ports, user, process_types } = built?;
    let image = Image::Built { app: job.app.clone(), digest: image_digest };
    Ok(BuiltImage { image, ports, user, process_types })
}

/// Builds with Cloud Native Buildpacks run on Docker alone (docs/decisions/0026-phases-of-cloud-native-buildpacks.md).
fn no_cnb() -> JobError {
    let reason = "Cloud Native Buildpacks do not run on Kubernetes yet; run `deis builds:kind buildpack`, or \
                  `dockerfile`, and push again";
    JobError::Refused { reason: reason.to_owned() }
}

/// A build's Job, which goes when this does.
struct BuildJobHandle {
    name: String,
    guard: DeleteGuard<Job>,
}

/// Makes the Job and what belongs to it, then lets it begin.
async fn start(
    jobs: &KubernetesJobs,
    job: &BuildJob,
    image: &str,
    spec: &Spec,
    password: &str,
) -> Result<BuildJobHandle, JobError> {
    let failed = |error| job_error(WHAT_START, error);
    let settings = &jobs.settings;
    let space = &settings.builds_namespace;
    let name = build_job::name(job, rand::random());
    let (config, credential) = (format!("{name}-config"), format!("{name}-push"));
    let names = BuildSecretNames { config: &config, credential: &credential };
    let spec_json = serde_json::to_string(spec).expect("texts and numbers are JSON");
    let pod_spec = build_pod::pod_spec(settings, job, image, &names, &spec_json);

    let guard = DeleteGuard::new(&jobs.client, space, &name);
    let api: Api<Job> = Api::namespaced(jobs.client.clone(), space);
    let secrets: Api<Secret> = Api::namespaced(jobs.client.clone(), space);
    let post = PostParams::default();
    let made = api.create(&post, &build_job::job(&name, job, &jobs.owner, pod_spec)).await.map_err(failed)?;
    let password = BTreeMap::from([(PASSWORD_KEY.to_owned(), ByteString(password.as_bytes().to_vec()))]);
    secrets.create(&post, &build_job::secret(&credential, job, &made, password)).await.map_err(failed)?;
    let config = build_job::secret(&config, job, &made, config_files(job)?);
    secrets.create(&post, &config).await.map_err(failed)?;
    let begin = Patch::Merge(json!({ "spec": { "suspend": false } }));
    api.patch(&made.name_any(), &PatchParams::default(), &begin).await.map_err(failed)?;
    Ok(BuildJobHandle { name, guard })
}

/// The config as the files of a Secret.
fn config_files(job: &BuildJob) -> Result<BTreeMap<String, ByteString>, JobError> {
    let file = |(name, value): (&String, &String)| {
        let is_good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        if name.is_empty() || name.starts_with("..") || name == "." || !name.bytes().all(is_good) {
            let reason =
                format!("config variable `{name}` cannot be given to a build; unset it or rename it");
            return Err(refused(reason));
        }
        Ok((name.clone(), ByteString(value.as_bytes().to_vec())))
    };
    job.env.iter().map(file).collect()
}

async fn watch(
    jobs: &KubernetesJobs,
    job: &BuildJob,
    running: &BuildJobHandle,
    source: SourceStream,
    output: &mpsc::Sender<Bytes>,
) -> Result<BuildOutput, JobError> {
    let space = &jobs.settings.builds_namespace;
    let pods: Api<Pod> = Api::namespaced(jobs.client.clone(), space);
    let selector =
        watcher::Config::default().labels(&format!("batch.kubernetes.io/job-name={}", running.name));
    let start_seconds = jobs.settings.job_start_seconds;
    let mut watching = PodWatch::new(&jobs.client, space, &running.name, selector, start_seconds);
    let pod = watching.scheduled().await?;
    take_source(&pods, &mut watching, &pod, source, output).await?;
    let said = run_steps(jobs, &pods, &mut watching, &pod, output).await?;
    let last = said.lines().last().unwrap_or_default();
    serde_json::from_str(last)
        .map_err(|_| refused(format!("build of {}: its last step did not say what was made", job.app)))
}

/// Sends the source until the step has ended, however it ends.
async fn take_source(
    pods: &Api<Pod>,
    watching: &mut PodWatch,
    pod: &str,
    source: SourceStream,
    output: &mpsc::Sender<Bytes>,
) -> Result<(), JobError> {
    let said = tokio::select! {
        ending = watching.ended(SOURCE) => ending.map(|_| None),
        said = source::send(pods, pod, SOURCE, source) => said,
    };
    if let Some(said) = said? {
        pass_on_warnings(&said, output).await;
        return Ok(());
    }
    let ending = watching.ended(SOURCE).await?;
    let said = said_by(pods, watching, pod, SOURCE).await?;
    pass_on_warnings(&said, output).await;
    check_step(&ending, &said, "take the source")
}

/// Follows the steps after the source to their end. Gives back what the last one said.
async fn run_steps(
    jobs: &KubernetesJobs,
    pods: &Api<Pod>,
    watching: &mut PodWatch,
    pod: &str,
    output: &mpsc::Sender<Bytes>,
) -> Result<String, JobError> {
    // The node has no output of a container before it says that it has begun.
    watching.until(|pod| (all_begun(pod) || StepsEnd::of(pod).is_some()).then_some(())).await?;
    let mut said = BoundedOutput::new(SAID_BYTES_MAX);
    let mut build = StepOutput::new(pods, pod, BUILD, OutputSink::Forward(output));
    let mut upload = StepOutput::new(pods, pod, UPLOAD, OutputSink::Keep(&mut said));
    let end = tokio::select! {
        _ = async { tokio::join!(build.follow(), upload.follow()) } => None,
        end = watching.until(StepsEnd::of) => Some(end?),
    };
    if end.is_some() {
        tokio::join!(build.rest(), upload.rest());
    }
    drop(upload);
    if let Some(StepsEnd::Build(ending)) = &end {
        check_build(jobs, watching, ending).await?;
    }
    let said = said.into_text();
    pass_on_warnings(&said, output).await;
    if let Some(StepsEnd::Upload(ending)) = &end {
        check_step(ending, &said, "send the image to the registry")?;
    }
    Ok(said)
}

fn all_begun(pod: &Pod) -> bool {
    [BUILD, UPLOAD].iter().all(|name| state::container(pod, name) != ContainerState::Waiting)
}

/// The container whose end decides about a build.
#[derive(Debug, PartialEq, Eq)]
enum StepsEnd {
    Build(ContainerTermination),
    Upload(ContainerTermination),
}

impl StepsEnd {
    fn of(pod: &Pod) -> Option<Self> {
        let ended = |name| match state::container(pod, name) {
            ContainerState::Ended(ending) => Some(ending),
            ContainerState::Waiting | ContainerState::Running => None,
        };
        match (ended(BUILD), ended(UPLOAD)) {
            (Some(build), _) if build.code != 0 => Some(Self::Build(build)),
            // It has not run as the build failed, whose end is told in a moment.
            (None, Some(upload)) if upload.code == i64::from(EXIT_NOT_RUN) => None,
            (_, upload) => upload.map(Self::Upload),
        }
    }
}

/// All that a step of ours said; it has ended.
async fn said_by(
    pods: &Api<Pod>,
    watching: &mut PodWatch,
    pod: &str,
    container: &str,
) -> Result<String, JobError> {
    let mut said = BoundedOutput::new(SAID_BYTES_MAX);
    output::follow(pods, watching, pod, container, OutputSink::Keep(&mut said)).await?;
    Ok(said.into_text())
}

/// Lines of our steps that are for the pusher begin like the stack's own.
async fn pass_on_warnings(said: &str, output: &mpsc::Sender<Bytes>) {
    for line in said.lines().filter(|line| line.starts_with(" !")) {
        let _ = output.send(Bytes::from(format!("{line}\n"))).await;
    }
}

fn check_step(ending: &ContainerTermination, said: &str, what: &str) -> Result<(), JobError> {
    let last = said.lines().last().unwrap_or_default();
    match ending.code {
        0 => Ok(()),
        code if code == i64::from(EXIT_REFUSED) => Err(refused(last)),
        _ if ending.is_out_of_memory() => Err(refused(format!("{what}: the step ran out of memory"))),
        code => {
            let cause = if last.is_empty() { &ending.message } else { last };
            Err(refused(format!("{what}: {cause} (exit code {code})")))
        }
    }
}

async fn check_build(
    jobs: &KubernetesJobs,
    watching: &mut PodWatch,
    ending: &ContainerTermination,
) -> Result<(), JobError> {
    match ending.code {
        0 => Ok(()),
        EXIT_KILLED if !ending.is_out_of_memory() => match watching.cause_of_kill().await {
            Some(reason) => Err(refused(format!("the build was stopped: {reason}"))),
            None => Err(JobError::Failed { exit_code: EXIT_KILLED }),
        },
        _ if ending.is_out_of_memory() => Err(refused(format!(
            "the build needed more than its bound of {} of memory; build less in parallel, or have the \
             platform's operator raise the bound",
            size(jobs.settings.build_memory_bytes)
        ))),
        _ if ending.is_not_started() => {
            Err(refused(format!("the build cannot be started: {}", ending.message)))
        }
        exit_code => Err(JobError::Failed { exit_code }),
    }
}

/// Removes the cache for the next build; a failure costs time, not the build.
async fn remove_cache(jobs: &KubernetesJobs, job: &BuildJob) {
    if let Err(error) = caches::remove_all(jobs, &job.app).await {
        tracing::warn!(app = %job.app, %error, "cannot remove the build cache");
    }
}

impl KubernetesJobs {
    fn spec(&self, job: &BuildJob, stack: &super::stack::StackImage, username: &str) -> Spec {
        let registry = &self.settings.registry;
        let (url, prefix) = registry.push_place();
        Spec {
            app: job.app.clone(),
            kind: job.kind,
            submodules: job.submodules.clone(),
            registry_url: url.to_owned(),
            registry_prefix: prefix,
            node_host: registry.node_host.clone(),
            stack_repository: stack.repository.clone(),
            stack_version: stack.version.clone(),
            toolchains: job.toolchains.clone(),
            cache: job.cache,
            dockerfile: job.dockerfile.clone(),
            frontends: self.settings.build_frontends,
            slug_bytes_max: self.settings.slug_bytes_max,
            cache_bytes_max: self.settings.build_caches.app_bytes_max,
            insecure_hosts: registry.insecure_hosts.clone(),
            username: username.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn ended(code: i32) -> Value {
        json!({ "terminated": { "exitCode": code, "reason": "Error" } })
    }

    fn end_of(build: &Value, upload: &Value) -> Option<(&'static str, i64)> {
        let status = |name: &str, state: &Value| json!({ "name": name, "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state });
        let statuses = json!({ "containerStatuses": [status(BUILD, build), status(UPLOAD, upload)] });
        let pod: Pod = serde_json::from_value(json!({ "status": statuses })).expect("a pod");
        StepsEnd::of(&pod).map(|end| match end {
            StepsEnd::Build(ending) => (BUILD, ending.code),
            StepsEnd::Upload(ending) => (UPLOAD, ending.code),
        })
    }

    #[test]
    fn the_end_of_the_upload_decides_unless_the_build_failed() {
        let running = json!({ "running": {} });
        let not_run = ended(EXIT_NOT_RUN);

        assert_eq!(end_of(&running, &running), None);
        assert_eq!(end_of(&ended(0), &running), None);
        assert_eq!(end_of(&running, &not_run), None, "the build's end comes in a moment");
        assert_eq!(end_of(&ended(3), &running), Some((BUILD, 3)));
        assert_eq!(end_of(&ended(137), &not_run), Some((BUILD, 137)));
        assert_eq!(end_of(&ended(0), &ended(70)), Some((UPLOAD, 70)));
        assert_eq!(end_of(&running, &ended(137)), Some((UPLOAD, 137)));
        assert_eq!(end_of(&ended(0), &ended(0)), Some((UPLOAD, 0)));
    }
}
