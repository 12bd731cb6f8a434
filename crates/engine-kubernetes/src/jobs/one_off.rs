//! One-off processes: a pod in the app's namespace, its output, its exit code (docs/spec/api.md 6.9).

use std::collections::BTreeMap;

use domain::build::{OneOff, ProcessResult};
use k8s_openapi::api::core::v1::{Node, Pod, Secret};
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::runtime::watcher;
use kube::{Api, ResourceExt as _};
use serde_json::json;

use super::failure::{job_error, refused, size};
use super::guard::DeleteGuard;
use super::output::{BoundedOutput, OutputSink};
use super::state::ContainerTermination;
use super::watching::PodWatch;
use super::{KubernetesJobs, one_off_pod, output};
use crate::names;
use engine::JobError;

/// Output that is kept of one process.
const OUTPUT_BYTES_MAX: usize = 8 << 20;
/// As shells end when there is no such program, and when it cannot be run.
const EXIT_NOT_FOUND: i64 = 127;
const EXIT_NOT_RUNNABLE: i64 = 126;
const WHAT_START: &str = "start the process";

/// Runs it to its end; the caller bounds its time.
pub async fn run(jobs: &KubernetesJobs, run: &OneOff) -> Result<ProcessResult, JobError> {
    prepare(jobs, run).await?;
    let space = names::namespace(&jobs.settings, &run.app);
    let secret_guard = DeleteGuard::<Secret>::new(&jobs.client, &space, &one_off_pod::env_secret_name(run));
    let pod_guard = DeleteGuard::<Pod>::new(&jobs.client, &space, &run.name);
    start(jobs, run, false, &space).await?;
    let finished = watch(jobs, run, &space).await;
    tokio::join!(pod_guard.remove(), secret_guard.remove());
    finished
}

/// Sees to what the pod needs.
pub async fn prepare(jobs: &KubernetesJobs, run: &OneOff) -> Result<(), JobError> {
    check_tags(jobs, &run.tags).await?;
    Ok(jobs.spaces.make(&run.app).await?)
}

/// Makes the pod and its Secret, which the caller guards.
pub async fn start(
    jobs: &KubernetesJobs,
    run: &OneOff,
    has_stdin: bool,
    space: &str,
) -> Result<(), JobError> {
    let image = jobs.settings.registry.reference(&run.app, &run.image);
    let pod = one_off_pod::pod(&jobs.settings, run, &image, has_stdin, &jobs.owner);
    create(jobs, run, &pod, space).await.map_err(|error| job_error(WHAT_START, error))
}

async fn check_tags(jobs: &KubernetesJobs, tags: &BTreeMap<String, String>) -> Result<(), JobError> {
    if tags.is_empty() {
        return Ok(());
    }
    let pairs: Vec<_> = tags.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let nodes: Api<Node> = Api::all(jobs.client.clone());
    let fitting = nodes.list_metadata(&ListParams::default().labels(&pairs.join(",")).limit(1)).await;
    match fitting.map_err(|error| job_error("look for a node", error))?.items.is_empty() {
        true => Err(refused(format!("no node has {}; unset the tag or label a node", pairs.join(" and ")))),
        false => Ok(()),
    }
}

async fn create(jobs: &KubernetesJobs, run: &OneOff, pod: &Pod, space: &str) -> Result<(), kube::Error> {
    let secrets: Api<Secret> = Api::namespaced(jobs.client.clone(), space);
    let pods: Api<Pod> = Api::namespaced(jobs.client.clone(), space);
    let secret = secrets.create(&PostParams::default(), &one_off_pod::env_secret(run)).await?;
    let pod = pods.create(&PostParams::default(), pod).await?;
    // From here on Kubernetes removes both together.
    let owner = json!([{ "apiVersion": "v1", "kind": "Pod", "name": pod.name_any(), "uid": pod.uid() }]);
    let patch = Patch::Merge(json!({ "metadata": { "ownerReferences": owner } }));
    secrets.patch_metadata(&secret.name_any(), &PatchParams::default(), &patch).await.map(drop)
}

async fn watch(jobs: &KubernetesJobs, run: &OneOff, space: &str) -> Result<ProcessResult, JobError> {
    let pods: Api<Pod> = Api::namespaced(jobs.client.clone(), space);
    let selector = watcher::Config::default().fields(&format!("metadata.name={}", run.name));
    let seconds = jobs.settings.job_start_seconds;
    let mut watching = PodWatch::new(&jobs.client, space, &run.name, selector, seconds);
    let container = one_off_pod::container_name(run);
    watching.begun(&container).await?;

    let mut kept = BoundedOutput::new(OUTPUT_BYTES_MAX);
    let taker = OutputSink::Keep(&mut kept);
    let ending = output::follow(&pods, &mut watching, &run.name, &container, taker).await?;
    Ok(finished(run, kept, &ending))
}

fn finished(run: &OneOff, kept: BoundedOutput, ending: &ContainerTermination) -> ProcessResult {
    if ending.is_not_started() {
        return not_started(&ending.message);
    }
    let mut output = shown(kept);
    if ending.is_out_of_memory() && ending.code != 0 {
        let bound = run.limits.memory_limit_bytes.map_or("its memory".to_owned(), size);
        output.push_str(&format!("\nkilled: the process needed more than {bound}; raise its limit\n"));
    }
    ProcessResult { exit_code: ending.code, output }
}

/// The output, and whether there was more of it.
fn shown(kept: BoundedOutput) -> String {
    let is_cut = kept.is_cut;
    let mut text = kept.into_text();
    if is_cut {
        text.push_str(&format!("\n[output truncated after {}]\n", size(OUTPUT_BYTES_MAX as u64)));
    }
    text
}

/// A program that cannot be started has ended as in a shell: with a message and a code.
fn not_started(message: &str) -> ProcessResult {
    let lower = message.to_ascii_lowercase();
    let is_missing = lower.contains("not found") || lower.contains("no such file or directory");
    let exit_code = if is_missing { EXIT_NOT_FOUND } else { EXIT_NOT_RUNNABLE };
    let reason = message.rsplit("exec: ").next().unwrap_or(message).trim();
    let reason = reason.trim_end_matches(": unknown").replace("no such file", "No such file");
    ProcessResult { exit_code, output: format!("{reason}\n") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_not_there_ends_as_in_a_shell() {
        let message = "failed to create containerd task: failed to create shim task: OCI runtime create failed: \
                       runc create failed: unable to start container process: exec: \"/no/such\": stat \
                       /no/such: no such file or directory: unknown";

        let finished = not_started(message);

        assert_eq!(finished.exit_code, 127);
        assert_eq!(finished.output, "\"/no/such\": stat /no/such: No such file or directory\n");
    }

    #[test]
    fn output_above_the_bound_is_cut_and_said_to_be() {
        let mut kept = BoundedOutput::new(OUTPUT_BYTES_MAX);
        for _ in 0..4 {
            kept.add(&vec![b'x'; 3 << 20]);
        }

        let text = shown(kept);

        let notice = "\n[output truncated after 8 MB]\n";
        assert!(text.ends_with(notice));
        assert_eq!(text.len(), OUTPUT_BYTES_MAX + notice.len());
    }
}
