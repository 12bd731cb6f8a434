//! Replicas as Kubernetes has them: the pods of one workload, read afresh each time.

use domain::deployment::WorkloadId;
use domain::pods::{Pod, PodState};
use domain::{AppName, ProcessType};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Pod as KubernetesPod};
use kube::api::ListParams;

use super::failure::failed;
use super::{Inner, names};
use crate::EngineError;
use crate::failure_text::Exit;

/// One pod of a workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replica {
    pub name: String,
    pub uid: String,
    /// Hash of what it was made from.
    pub spec: Option<String>,
    /// A restart took it out of its ReplicaSet; it goes once its successor serves.
    pub is_detached: bool,
    pub is_leaving: bool,
    /// It will never run again, such as one that was evicted.
    pub has_ended: bool,
    pub is_ready: bool,
    /// How often its container was started again.
    pub restarts: i32,
    pub stage: Stage,
}

/// How far a pod has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// No node takes it, for this reason.
    Unplaced(String),
    /// Its image is pulled and its volumes are made.
    Preparing,
    /// Its container cannot be made, for this reason of Kubernetes' and in these words.
    Stuck {
        reason: String,
        message: String,
    },
    Running,
    /// Its container ended and waits for its next start, or ended just now.
    Crashed(Exit),
}

impl Replica {
    pub fn read(pod: &KubernetesPod) -> Self {
        let (meta, status) = (&pod.metadata, pod.status.as_ref());
        let container = container(pod);
        let phase = status.and_then(|status| status.phase.as_deref()).unwrap_or_default();
        let has = |label: &str| meta.labels.as_ref().is_some_and(|labels| labels.contains_key(label));
        Self {
            name: meta.name.clone().unwrap_or_default(),
            uid: meta.uid.clone().unwrap_or_default(),
            spec: meta.annotations.as_ref().and_then(|all| all.get(names::SPEC_ANNOTATION).cloned()),
            is_detached: has(names::DETACHED_LABEL),
            is_leaving: meta.deletion_timestamp.is_some(),
            has_ended: matches!(phase, "Succeeded" | "Failed"),
            is_ready: condition(pod, "Ready").is_some_and(|(is_true, _)| is_true),
            restarts: container.map_or(0, |container| container.restart_count),
            stage: stage(pod, container),
        }
    }

    /// Whether it belongs to those that are to serve.
    pub fn stays(&self) -> bool {
        !self.is_leaving && !self.has_ended
    }
}

impl Inner {
    /// The pods of one workload.
    pub(super) async fn replicas(&self, id: &WorkloadId) -> Result<Vec<Replica>, EngineError> {
        let pods = self.kubernetes_pods(&id.app, &names::selector(&names::workload_labels(id))).await?;
        Ok(pods.iter().map(Replica::read).collect())
    }

    pub(super) async fn kubernetes_pods(
        &self,
        app: &AppName,
        labels: &str,
    ) -> Result<Vec<KubernetesPod>, EngineError> {
        let found = self.api::<KubernetesPod>(app).list(&ListParams::default().labels(labels)).await;
        Ok(found.map_err(|error| failed(&format!("list the pods of {app}"), error))?.items)
    }
}

/// The pod as users see it; `None` for one that is none of a release's.
pub fn shown(app: &AppName, pod: &KubernetesPod) -> Option<Pod> {
    let labels = pod.metadata.labels.as_ref();
    let process = ProcessType::parse(labels?.get(names::TYPE_LABEL)?).ok()?;
    Some(Pod {
        name: pod.metadata.name.clone()?,
        app: app.clone(),
        process,
        release: names::release(labels)?,
        state: state(pod),
        started: pod
            .status
            .as_ref()
            .and_then(|status| status.start_time.as_ref())
            .and_then(|time| Timestamp::from_nanosecond(time.0.as_nanosecond()).ok()),
    })
}

/// The words of api.md 4.11.
fn state(pod: &KubernetesPod) -> PodState {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default();
    let is_leaving = pod.metadata.deletion_timestamp.is_some();
    let state = container(pod).and_then(|container| container.state.as_ref());
    let waiting = state.and_then(|state| state.waiting.as_ref()?.reason.clone());
    let is_running = state.is_some_and(|state| state.running.is_some());
    let is_ready = condition(pod, "Ready").is_some_and(|(is_true, _)| is_true);
    match phase {
        "Succeeded" => PodState::Down,
        "Failed" => PodState::Crashed,
        _ if is_leaving => PodState::Terminating,
        "Pending" => match waiting.as_deref() {
            None => PodState::Initializing,
            Some("ContainerCreating" | "PodInitializing") => PodState::Creating,
            Some(reason) => PodState::Other(reason.to_owned()),
        },
        "Running" if is_ready => PodState::Up,
        "Running" if is_running => PodState::Starting,
        "Running" if state.is_some_and(|state| state.terminated.is_some()) => PodState::Terminating,
        _ => PodState::Error,
    }
}

/// A pod of ours has just one container.
fn container(pod: &KubernetesPod) -> Option<&ContainerStatus> {
    pod.status.as_ref()?.container_statuses.as_ref()?.first()
}

fn condition<'a>(pod: &'a KubernetesPod, name: &str) -> Option<(bool, &'a str)> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let found = conditions.iter().find(|condition| condition.type_ == name)?;
    Some((found.status == "True", found.message.as_deref().unwrap_or_default()))
}

fn stage(pod: &KubernetesPod, container: Option<&ContainerStatus>) -> Stage {
    if let Some((false, message)) = condition(pod, "PodScheduled") {
        return Stage::Unplaced(message.to_owned());
    }
    let Some(container) = container else { return Stage::Preparing };
    let now = container.state.clone().unwrap_or_default();
    let last = container.last_state.clone().unwrap_or_default();
    if now.running.is_some() {
        return Stage::Running;
    }
    let waiting = now.waiting.clone().unwrap_or_default();
    let reason = waiting.reason.unwrap_or_default();
    match ended(&now).or_else(|| ended(&last)) {
        // The runtime could not start it at all, which it tells as an end.
        Some((_, Some(stuck))) => stuck,
        _ if !matches!(
            reason.as_str(),
            "" | "ContainerCreating" | "PodInitializing" | "CrashLoopBackOff"
        ) =>
        {
            Stage::Stuck { reason, message: waiting.message.unwrap_or_default() }
        }
        Some((exit, None)) => Stage::Crashed(exit),
        None => Stage::Preparing,
    }
}

fn ended(state: &ContainerState) -> Option<(Exit, Option<Stage>)> {
    let end = state.terminated.as_ref()?;
    let reason = end.reason.clone().unwrap_or_default();
    let exit = Exit { code: end.exit_code.into(), is_out_of_memory: reason == "OOMKilled" };
    let is_start = matches!(reason.as_str(), "StartError" | "ContainerCannotRun");
    let message = end.message.clone().unwrap_or_default();
    Some((exit, is_start.then_some(Stage::Stuck { reason, message })))
}

#[cfg(test)]
#[allow(clippy::needless_pass_by_value, reason = "it reads better with `json!`")]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(status: Value) -> KubernetesPod {
        let metadata = json!({ "name": "blog-web-7d5f4-aaaaa", "uid": "1",
            "labels": { "app": "blog", "type": "web", "version": "v7" } });
        serde_json::from_value(json!({ "metadata": metadata, "status": status })).expect("a pod")
    }

    fn with_container(phase: &str, ready: &str, container: Value) -> KubernetesPod {
        let mut status = json!({ "name": "blog-web", "image": "", "imageID": "", "ready": ready == "True",
            "restartCount": 1 });
        status.as_object_mut().expect("a map").extend(container.as_object().expect("a map").clone());
        pod(json!({ "phase": phase, "containerStatuses": [status],
            "conditions": [{ "type": "Ready", "status": ready }] }))
    }

    fn waiting(reason: &str) -> Value {
        json!({ "state": { "waiting": { "reason": reason, "message": "why" } } })
    }

    #[test]
    fn pods_have_the_states_that_users_know() {
        let running = json!({ "state": { "running": {} } });
        for (pod, state) in [
            (pod(json!({ "phase": "Pending" })), PodState::Initializing),
            (with_container("Pending", "False", waiting("ContainerCreating")), PodState::Creating),
            (
                with_container("Pending", "False", waiting("ImagePullBackOff")),
                PodState::Other("ImagePullBackOff".to_owned()),
            ),
            (with_container("Running", "False", running.clone()), PodState::Starting),
            (with_container("Running", "True", running), PodState::Up),
            (with_container("Running", "False", waiting("CrashLoopBackOff")), PodState::Error),
            (pod(json!({ "phase": "Succeeded" })), PodState::Down),
            (pod(json!({ "phase": "Failed" })), PodState::Crashed),
        ] {
            let app = AppName::parse("blog").expect("a good name");
            let shown = shown(&app, &pod).expect("a pod of a release");
            assert_eq!((shown.state, shown.release), (state, 7));
        }
    }

    #[test]
    fn a_crash_is_known_while_its_next_start_is_waited_for() {
        let mut back_off = waiting("CrashLoopBackOff");
        back_off["lastState"] = json!({ "terminated": { "exitCode": 137, "reason": "OOMKilled" } });

        let replica = Replica::read(&with_container("Running", "False", back_off));

        assert_eq!(replica.stage, Stage::Crashed(Exit { code: 137, is_out_of_memory: true }));
        assert_eq!(replica.restarts, 1);
    }

    #[test]
    fn what_the_runtime_cannot_start_is_stuck_and_no_crash() {
        let end = json!({ "exitCode": 128, "reason": "StartError", "message": "exec: \"nope\": not found" });
        let mut back_off = waiting("CrashLoopBackOff");
        back_off["lastState"] = json!({ "terminated": end });

        let stage = Replica::read(&with_container("Running", "False", back_off)).stage;

        let message = "exec: \"nope\": not found".to_owned();
        assert_eq!(stage, Stage::Stuck { reason: "StartError".to_owned(), message });
    }
}
