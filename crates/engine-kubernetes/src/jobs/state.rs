//! State of a job's pod, read from its status: pure, so that each way to fail is a test.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodStatus};

use crate::failure::is_of_a_busy_node;

/// Reasons of a waiting container whose image does not come.
const IMAGE_REASONS: &[&str] =
    &["ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"];
/// It is tried again, with pauses.
const FIRST_PULL_FAILED: &str = "ErrImagePull";
/// Tried again as well: a Secret may be so new, or the API server so busy, that the node does not have it yet.
const CONFIG_FAILED: &str = "CreateContainerConfigError";
const CANNOT_RUN: &[&str] = &["CreateContainerError", "RunContainerError"];

/// State of one container of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContainerState {
    /// Not started, with Kubernetes' reason for waiting, if any.
    Waiting,
    Running,
    Ended(ContainerTermination),
}

/// Exit of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerTermination {
    pub code: i64,
    /// `Completed`, `Error`, `OOMKilled`, `StartError`, `ContainerCannotRun`, ...
    pub reason: String,
    pub message: String,
}

impl ContainerTermination {
    pub fn is_out_of_memory(&self) -> bool {
        self.reason == "OOMKilled"
    }

    /// Its program was never started: there is none, or it cannot be run.
    pub fn is_not_started(&self) -> bool {
        matches!(self.reason.as_str(), "StartError" | "ContainerCannotRun")
    }
}

/// Finds the state of a container, init containers included.
pub fn container(pod: &Pod, name: &str) -> ContainerState {
    let Some(status) = status(pod) else { return ContainerState::Waiting };
    let all = statuses(status);
    let Some(found) = all.into_iter().find(|status| status.name == name) else {
        return ContainerState::Waiting;
    };
    let state = found.state.clone().unwrap_or_default();
    match (state.running, state.terminated) {
        (_, Some(ended)) => ContainerState::Ended(ContainerTermination {
            code: ended.exit_code.into(),
            reason: ended.reason.unwrap_or_default(),
            message: ended.message.unwrap_or_default(),
        }),
        (Some(_), None) => ContainerState::Running,
        (None, None) => ContainerState::Waiting,
    }
}

/// Reason why the pod will never do its job; `None` while it may.
pub fn failure(pod: &Pod) -> Option<String> {
    let status = status(pod)?;
    if let Some(said) = evicted(status) {
        return Some(said);
    }
    let waiting = statuses(status).into_iter().filter_map(|status| {
        let waiting = status.state.as_ref()?.waiting.as_ref()?;
        Some((status, waiting.reason.clone()?, waiting.message.clone().unwrap_or_default()))
    });
    for (status, reason, message) in waiting {
        if IMAGE_REASONS.contains(&reason.as_str()) && is_final(&reason, &message) {
            return Some(cannot_pull(status, &message));
        }
        if CANNOT_RUN.contains(&reason.as_str()) && !is_of_a_busy_node(&message) {
            return Some(cannot_make(&message));
        }
    }
    None
}

/// A failure that the node retries: an unreachable registry, a Secret so new that the node does not see it yet, an
/// overloaded container runtime.
pub fn falters(pod: &Pod) -> Option<String> {
    statuses(status(pod)?).into_iter().find_map(|status| {
        let waiting = status.state.as_ref()?.waiting.as_ref()?;
        let message = waiting.message.as_deref().unwrap_or_default();
        match waiting.reason.as_deref()? {
            reason if reason == FIRST_PULL_FAILED || IMAGE_REASONS.contains(&reason) => {
                Some(cannot_pull(status, message))
            }
            reason if reason == CONFIG_FAILED || CANNOT_RUN.contains(&reason) => Some(cannot_make(message)),
            _ => None,
        }
    })
}

/// Returns true if a retry gives the same result.
fn is_final(reason: &str, message: &str) -> bool {
    let message = message.trim_end();
    reason != "ImagePullBackOff" || message.ends_with("not found") || message.contains("manifest unknown")
}

/// Reason why the pod has not started, for when it has waited long enough.
pub fn waits_for(pod: &Pod) -> String {
    let conditions = status(pod).and_then(|status| status.conditions.as_ref());
    let unscheduled =
        conditions.into_iter().flatten().find(|it| it.type_ == "PodScheduled" && it.status == "False");
    if let Some(message) = unscheduled.and_then(|condition| condition.message.as_deref()) {
        return format!("no node can take it: {message}");
    }
    let waiting = status(pod).map(statuses).unwrap_or_default().into_iter().find_map(|status| {
        let waiting = status.state.as_ref()?.waiting.as_ref()?;
        waiting.message.clone().or(waiting.reason.clone())
    });
    falters(pod).or(waiting).unwrap_or_else(|| "its node does not start it".to_owned())
}

/// Returns true if the pod has a node and its first container has started.
pub fn has_begun(pod: &Pod) -> bool {
    let all = status(pod).map(statuses).unwrap_or_default();
    all.into_iter().any(|status| {
        status.state.as_ref().is_some_and(|state| state.running.is_some() || state.terminated.is_some())
    })
}

fn status(pod: &Pod) -> Option<&PodStatus> {
    pod.status.as_ref()
}

fn statuses(status: &PodStatus) -> Vec<&ContainerStatus> {
    status.init_container_statuses.iter().chain(&status.container_statuses).flatten().collect()
}

/// A pod that failed as a whole, not by the end of a container.
fn evicted(status: &PodStatus) -> Option<String> {
    let reason = status.reason.as_deref()?;
    let message = status.message.as_deref().unwrap_or_default();
    match reason {
        "Evicted" => Some(format!("its node evicted it: {message}")),
        "Preempting" | "Preempted" => Some("a more important pod took its place; try again".to_owned()),
        "NodeLost" | "NodeShutdown" | "Terminated" | "Shutdown" => {
            Some("its node went away; try again".to_owned())
        }
        "OutOfcpu"
        | "OutOfmemory"
        | "OutOfephemeral-storage"
        | "UnexpectedAdmissionError"
        | "NodeAffinity" => Some(format!("its node did not take it: {message}")),
        _ => None,
    }
}

fn cannot_make(message: &str) -> String {
    format!("the container cannot be made: {message}")
}

fn cannot_pull(status: &ContainerStatus, message: &str) -> String {
    format!("image {} cannot be pulled: {}", status.image, pull_cause(message))
}

/// The registry's own words, at the end of the kubelet's long sentence.
fn pull_cause(message: &str) -> String {
    let message = message.trim();
    let cause = message.rsplit_once(": ").map_or(message, |(_, cause)| cause);
    let is_telling = cause.len() > 3 && !cause.chars().all(|c| c.is_ascii_digit());
    let cause = if is_telling { cause } else { message };
    if cause.is_empty() { "the registry does not give it".to_owned() } else { cause.to_owned() }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(status: &Value) -> Pod {
        serde_json::from_value(json!({ "status": status })).expect("a pod")
    }

    fn container_status(name: &str, state: &Value) -> Value {
        json!({ "name": name, "image": "registry/app:x", "imageID": "", "ready": false, "restartCount": 0, "state": state })
    }

    #[test]
    fn init_containers_and_containers_are_found_by_name() {
        let pod = pod(&json!({
            "initContainerStatuses": [container_status("build", &json!({ "terminated": { "exitCode": 7, "reason": "OOMKilled" } }))],
            "containerStatuses": [container_status("upload", &json!({ "running": {} }))],
        }));

        let ContainerState::Ended(ending) = container(&pod, "build") else { panic!("it has ended") };
        assert_eq!((ending.code, ending.is_out_of_memory()), (7, true));
        assert_eq!(container(&pod, "upload"), ContainerState::Running);
        assert_eq!(container(&pod, "other"), ContainerState::Waiting);
        assert!(has_begun(&pod));
        assert_eq!(failure(&pod), None);
    }

    #[test]
    fn an_image_that_cannot_be_pulled_is_told_with_the_registrys_words() {
        let message = "Back-off pulling image \"registry/app:x\": ErrImagePull: rpc error: code = NotFound desc = \
                       failed to pull and unpack image: failed to resolve reference: registry/app:x: not found";
        let waiting = json!({ "waiting": { "reason": "ImagePullBackOff", "message": message } });
        let pod = pod(&json!({ "containerStatuses": [container_status("web", &waiting)] }));

        assert_eq!(failure(&pod).as_deref(), Some("image registry/app:x cannot be pulled: not found"));
        let first_try = json!({ "waiting": { "reason": "ErrImagePull", "message": "x" } });
        let first_try =
            super::tests::pod(&json!({ "containerStatuses": [container_status("web", &first_try)] }));
        assert_eq!(failure(&first_try), None, "it is tried again");
    }

    #[test]
    fn what_a_node_tries_again_is_no_failure_yet() {
        let waiting = |reason: &str, message: &str| {
            let waiting = json!({ "waiting": { "reason": reason, "message": message } });
            pod(&json!({ "initContainerStatuses": [container_status("build", &waiting)] }))
        };
        let unsynced = "failed to sync secret cache: timed out waiting for the condition";
        let busy = "context deadline exceeded";
        for (reason, message) in [
            ("CreateContainerConfigError", unsynced),
            ("CreateContainerError", busy),
            ("RunContainerError", busy),
        ] {
            let pod = waiting(reason, message);
            assert_eq!(failure(&pod), None, "{reason}");
            assert_eq!(falters(&pod), Some(format!("the container cannot be made: {message}")));
        }
        let missing = waiting("RunContainerError", "exec: \"nope\": no such file");
        let told = "the container cannot be made: exec: \"nope\": no such file";
        assert_eq!(failure(&missing).as_deref(), Some(told));
    }

    #[test]
    fn evicted_and_unschedulable_pods_say_why() {
        let evicted = pod(&json!({
            "phase": "Failed", "reason": "Evicted",
            "message": "Usage of EmptyDir volume \"workspace\" exceeds the limit \"1Gi\".",
        }));
        assert!(failure(&evicted).is_some_and(|said| said.contains("exceeds the limit")));

        let unscheduled = pod(&json!({ "conditions": [{
            "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
            "message": "0/2 nodes are available: 2 Insufficient memory.",
        }]}));
        assert_eq!(failure(&unscheduled), None, "a node may come");
        assert_eq!(
            waits_for(&unscheduled),
            "no node can take it: 0/2 nodes are available: 2 Insufficient memory."
        );
        assert!(!has_begun(&unscheduled));
    }
}
