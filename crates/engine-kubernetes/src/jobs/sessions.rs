//! Sessions in a cluster. A one-off process is a waiting pod, and a command that is run inside it: so no output is
//! missed before the client is attached, and its terminal has the right size from the start. A command inside a
//! pod of the app is the same without the first half.

mod exec;

use std::time::Duration;

use domain::build::OneOff;
use domain::shell;
use domain::terminal::{TERM_DEFAULT, TerminalSize};
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::Api;
use kube::api::AttachParams;
use kube::runtime::watcher;

use super::failure::{job_error, refused, size};
use super::guard::DeleteGuard;
use super::state::ContainerTermination;
use super::watching::PodWatch;
use super::{KubernetesJobs, one_off, one_off_pod};
use crate::{names, replicas};
use domain::pods::PodState;
use engine::session::SessionChannels;
use engine::{JobError, Output, PodCommand, Session, Terminals};
use exec::ExecCommand;
use tokio::sync::mpsc;

/// Longest wait for the cause of a sudden end.
const CAUSE_TOLD_WITHIN: Duration = Duration::from_secs(5);
/// As shells report a process that KILL ended.
const KILLED: i64 = 137;

impl Terminals for KubernetesJobs {
    fn open(&self, run: OneOff, terminal: Option<TerminalSize>) -> Session {
        let jobs = self.clone();
        Session::begin(run.deadline_seconds, async move |ends| one_off(&jobs, &run, terminal, ends).await)
    }

    fn open_inside(&self, within: PodCommand, terminal: Option<TerminalSize>) -> Session {
        let jobs = self.clone();
        Session::begin(within.deadline_seconds, async move |ends| {
            inside(&jobs, &within, terminal, ends).await
        })
    }
}

async fn one_off(
    jobs: &KubernetesJobs,
    run: &OneOff,
    terminal: Option<TerminalSize>,
    mut ends: SessionChannels,
) -> Result<i64, JobError> {
    one_off::prepare(jobs, run).await?;
    let space = names::namespace(&jobs.settings, &run.app);
    let secret_guard = DeleteGuard::<Secret>::new(&jobs.client, &space, &one_off_pod::env_secret_name(run));
    let pod_guard = DeleteGuard::<Pod>::new(&jobs.client, &space, &run.name);
    let waiting = OneOff { command: Some(shell::idle()), args: None, ..run.clone() };
    one_off::start(jobs, &waiting, true, &space).await?;
    let ended = sit_in(jobs, run, terminal, &space, &mut ends).await;
    tokio::join!(pod_guard.remove(), secret_guard.remove());
    ended
}

/// Runs the command in the pod that waits for it.
async fn sit_in(
    jobs: &KubernetesJobs,
    run: &OneOff,
    terminal: Option<TerminalSize>,
    space: &str,
    ends: &mut SessionChannels,
) -> Result<i64, JobError> {
    let pods: Api<Pod> = Api::namespaced(jobs.client.clone(), space);
    let selector = watcher::Config::default().fields(&format!("metadata.name={}", run.name));
    let mut watching =
        PodWatch::new(&jobs.client, space, &run.name, selector, jobs.settings.job_start_seconds);
    let container = one_off_pod::container_name(run);
    watching.begun(&container).await?;
    let term = run.env.get("TERM").map_or(TERM_DEFAULT, String::as_str);
    // The pod goes with the session and all its processes with it.
    let words = shell::marked("one-off", term, run.command.as_deref().unwrap_or_default());
    let command = ExecCommand { pods: &pods, pod: &run.name, container: &container, words, terminal };
    let output = ends.output.clone();
    let ended = tokio::select! {
        ended = command.run(ends) => ended,
        ended = watching.ended(&container) => return pod_ended(run, &ended?, &output).await,
    };
    if !matches!(ended, Ok(KILLED) | Err(_)) {
        return ended;
    }
    // A process that was killed for its memory may take the pod with it.
    match tokio::time::timeout(CAUSE_TOLD_WITHIN, watching.ended(&container)).await {
        Ok(Ok(ending)) => pod_ended(run, &ending, &output).await,
        _ => ended,
    }
}

/// The pod ended under the session.
async fn pod_ended(
    run: &OneOff,
    ending: &ContainerTermination,
    output: &mpsc::Sender<Output>,
) -> Result<i64, JobError> {
    let why = why(run, ending);
    if !ending.is_out_of_memory() {
        return Err(refused(why));
    }
    // Nobody listens any more where this fails.
    _ = output.send(Output::Stderr(format!("\n{why}\n").into())).await;
    Ok(KILLED)
}

/// Reason why the pod of a session ended by itself.
fn why(run: &OneOff, ending: &ContainerTermination) -> String {
    if ending.is_out_of_memory() {
        let bound = run.limits.memory_limit_bytes.map_or("its memory".to_owned(), size);
        return format!("killed: the process needed more than {bound}; raise its limit");
    }
    if ending.is_not_started() {
        return format!("the image has no /bin/sh, which a session needs: {}", ending.message);
    }
    format!("the pod of the session was ended with code {} ({})", ending.code, ending.reason)
}

async fn inside(
    jobs: &KubernetesJobs,
    inside: &PodCommand,
    terminal: Option<TerminalSize>,
    mut ends: SessionChannels,
) -> Result<i64, JobError> {
    let PodCommand { app, pod: name, term, command, .. } = inside;
    let pods: Api<Pod> = Api::namespaced(jobs.client.clone(), &names::namespace(&jobs.settings, app));
    let container = container(&pods, inside).await?;
    let mark = format!("{:016x}", rand::random::<u64>());
    let words = shell::marked(&mark, term, command);
    let _hang_up =
        PodSessionGuard { pods: pods.clone(), pod: name.clone(), container: container.clone(), mark };
    ExecCommand { pods: &pods, pod: name, container: &container, words, terminal }.run(&mut ends).await
}

/// The container of a pod of this app that runs.
async fn container(pods: &Api<Pod>, inside: &PodCommand) -> Result<String, JobError> {
    let PodCommand { app, pod: name, .. } = inside;
    let missing = || refused(format!("no process {name} of {app} runs; see deis ps"));
    // An invalid name could change the path of the request.
    let is_name = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    let found = if is_name && !name.is_empty() {
        pods.get_opt(name).await.map_err(|error| job_error("look for the process", error))?
    } else {
        None
    };
    let pod = found.ok_or_else(missing)?;
    let shown = replicas::shown(app, &pod).ok_or_else(missing)?;
    if !matches!(shown.state, PodState::Up | PodState::Starting) {
        return Err(refused(format!("{name} does not run at the moment, it is {}", shown.state.as_str())));
    }
    let container = pod.spec.and_then(|spec| spec.containers.into_iter().next()).ok_or_else(missing)?;
    Ok(container.name)
}

/// Ends all processes of a session in a pod that continues, whatever the reason.
struct PodSessionGuard {
    pods: Api<Pod>,
    pod: String,
    container: String,
    mark: String,
}

impl Drop for PodSessionGuard {
    fn drop(&mut self) {
        let Self { pods, pod, container, mark } = self;
        let (pods, pod, container, words) =
            (pods.clone(), pod.clone(), container.clone(), shell::hang_up(mark));
        // Without a runtime the process is ending, and this goes with the pod.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            let params = AttachParams::default().container(container).stdin(false).stdout(true).stderr(false);
            match pods.exec(&pod, words, &params).await {
                Ok(mut process) => match process.take_status() {
                    Some(status) => _ = status.await,
                    None => _ = process.join().await,
                },
                Err(error) => tracing::debug!(pod, %error, "cannot end the processes of a session"),
            }
        });
    }
}
