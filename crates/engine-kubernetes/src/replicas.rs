//! Replicas as Kubernetes has them: the pods of one workload, read afresh each time.

use domain::crashes::{Crashes, Exit};
use domain::deployment::WorkloadId;
use domain::pods::{Pod, PodState};
use domain::{AppName, ProcessType};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Pod as KubernetesPod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::ListParams;

use super::failure::failed;
use super::stuck::stuck;
use super::{Inner, names};
use engine::EngineError;
use engine::rollout::judge::{ObservedReplica, Stage};

/// One pod of a workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replica {
    pub name: String,
    pub uid: String,
    /// Hash of the workload that it was made from.
    pub spec: Option<String>,
    /// A restart took it out of its ReplicaSet; it goes once its successor serves.
    pub is_detached: bool,
    pub is_leaving: bool,
    /// It will never run again, such as one that was evicted.
    pub has_ended: bool,
    pub is_ready: bool,
    /// Exits of its container.
    pub crashes: Option<Crashes>,
    pub stage: Stage,
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
            crashes: container.and_then(|container| crashes(pod, container)),
            stage: stage(pod, container),
        }
    }

    /// As rollouts of a workload with this hash see it.
    pub fn observed(&self, spec: &str) -> ObservedReplica {
        let (crashes, last_exit) = self.crashes.map(|it| (it.times, it.exit)).unwrap_or_default();
        ObservedReplica {
            id: self.name.clone(),
            is_current: self.spec.as_deref() == Some(spec),
            is_condemned: self.is_detached,
            is_leaving: self.is_leaving,
            is_ready: self.is_ready,
            crashes,
            last_exit,
            stage: self.stage.clone(),
        }
    }

    /// Returns true if the pod is to serve, and neither leaves nor has ended.
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
        started: started(pod),
        crashes: container(pod).and_then(|container| crashes(pod, container)),
    })
}

fn started(pod: &KubernetesPod) -> Option<Timestamp> {
    timestamp(pod.status.as_ref()?.start_time.as_ref()?)
}

fn timestamp(time: &Time) -> Option<Timestamp> {
    Timestamp::from_nanosecond(time.0.as_nanosecond()).ok()
}

/// A container that runs again has ended as often as it was started again, one that waits for its next start once
/// more.
fn crashes(pod: &KubernetesPod, container: &ContainerStatus) -> Option<Crashes> {
    let terminated = |state: &Option<ContainerState>| state.as_ref()?.terminated.clone();
    let end = terminated(&container.state).or_else(|| terminated(&container.last_state))?;
    let is_running = container.state.as_ref().is_some_and(|state| state.running.is_some());
    let restarts = u64::try_from(container.restart_count).unwrap_or(0);
    let times = if is_running { restarts.max(1) } else { restarts + 1 };
    let last = end.finished_at.as_ref().and_then(timestamp).or_else(|| started(pod)).unwrap_or_default();
    // Of the ends before the last one Kubernetes keeps only the number.
    let since = if times == 1 { last } else { started(pod).unwrap_or(last) };
    let is_out_of_memory = end.reason.as_deref() == Some("OOMKilled");
    Some(Crashes { exit: Exit { code: end.exit_code.into(), is_out_of_memory }, times, since, last })
}

/// State of a pod (docs/spec/api.md 4.11).
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
    let process = pod.metadata.labels.as_ref().and_then(|labels| labels.get(names::TYPE_LABEL));
    let process = process.map(String::as_str).unwrap_or_default();
    let waiting = now.waiting.unwrap_or_default();
    let reason = waiting.reason.unwrap_or_default();
    let end = now.terminated.or(last.terminated);
    let end_reason = end.as_ref().and_then(|end| end.reason.as_deref()).unwrap_or_default();
    match reason.as_str() {
        // The runtime could not start it at all, which it reports as an exit.
        _ if matches!(end_reason, "StartError" | "ContainerCannotRun") => {
            stuck(process, end_reason, &end.as_ref().and_then(|end| end.message.clone()).unwrap_or_default())
        }
        "" | "ContainerCreating" | "PodInitializing" | "CrashLoopBackOff" => {
            if end.is_some() {
                Stage::Crashed
            } else {
                Stage::Preparing
            }
        }
        reason => stuck(process, reason, &waiting.message.unwrap_or_default()),
    }
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

        assert_eq!(replica.stage, Stage::Crashed);
        let ObservedReplica { crashes, last_exit, .. } = replica.observed("abc");
        assert_eq!((crashes, last_exit), (2, Exit { code: 137, is_out_of_memory: true }));
    }

    #[test]
    fn crashes_are_counted_with_the_end_that_a_next_start_is_waited_for_after() {
        let end = json!({ "exitCode": 139, "reason": "Error", "finishedAt": "2026-01-02T03:04:05Z" });
        let crashes = |phase: &str, container: Value| {
            let pod = with_container(phase, "True", container);
            Replica::read(&pod)
                .crashes
                .map(|crashes| (crashes.times, crashes.exit.code, crashes.last.to_string()))
        };
        let told = |times| Some((times, 139, "2026-01-02T03:04:05Z".to_owned()));

        let again = json!({ "state": { "running": {} }, "lastState": { "terminated": end } });
        assert_eq!(crashes("Running", again), told(1));
        let waits = json!({ "state": { "waiting": { "reason": "CrashLoopBackOff" } },
            "lastState": { "terminated": end } });
        assert_eq!(crashes("Running", waits), told(2));
        assert_eq!(crashes("Running", json!({ "state": { "terminated": end } })), told(2));
        assert_eq!(crashes("Running", json!({ "state": { "running": {} } })), None);
    }

    #[test]
    fn what_the_runtime_cannot_start_is_stuck_and_no_crash() {
        let end = json!({ "exitCode": 128, "reason": "StartError", "message": "exec: \"nope\": not found" });
        let mut back_off = waiting("CrashLoopBackOff");
        back_off["lastState"] = json!({ "terminated": end });

        let stage = Replica::read(&with_container("Running", "False", back_off)).stage;

        let reason = "cannot start \"nope\": not found".to_owned();
        assert_eq!(stage, Stage::Stuck { reason, is_final: true });
    }
}
