//! Judges a rollout: pure, from desired and observed state.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use domain::crashes::Exit;
use domain::deployment::Workload;

use super::failure::is_of_a_busy_node;
use super::replicas::{PodStage, Replica};
use engine::rollout::failure_text;

/// Ends of a new replica in a row that make a crash loop: Kubernetes waits longer and longer from there on.
const RESTARTS_MAX: i32 = 0;
/// Time of a replica besides its time to start, while its image is pulled to a node.
const PULL_MAX: Duration = Duration::from_secs(600);
/// Further time while a node for it is being added. Both together are less than the wait of a deploy's callers.
const NODE_WAIT_MAX: Duration = Duration::from_secs(420);
/// Reasons of Kubernetes' that no waiting changes.
const FINAL_REASONS: [&str; 6] = [
    "InvalidImageName",
    "ErrImageNeverPull",
    "CreateContainerError",
    "RunContainerError",
    "StartError",
    "ContainerCannotRun",
];
/// Messages of registries after which waiting does not help. Denied access is not among them: a node under load
/// may not know a fresh pull secret for some seconds.
const FINAL_PULLS: [&str; 3] = ["not found", "manifest unknown", "invalid reference"];

/// A workload as it is.
#[derive(Debug, Clone, Default)]
pub struct ObservedState {
    /// Kubernetes has seen what was applied last.
    pub is_noticed: bool,
    /// Replicas that there should be.
    pub wanted: usize,
    /// Those that have been ready for long enough.
    pub available: usize,
    /// Reason why no pod can be created.
    pub refusal: Option<String>,
    pub pods: Vec<Replica>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RolloutState {
    /// All that is wanted runs and nothing else stays.
    Done,
    Fails(PodFailure),
    /// Reconcile again at the latest after this time.
    Wait(Duration),
}

/// Reason of a failure, as far as the pods themselves show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodFailure {
    /// The pod that says more.
    pub pod: Option<String>,
    pub why: FailureReason,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FailureReason {
    Reason(String),
    Crashed {
        exit: Exit,
        times: i64,
    },
    /// The user's start hook did not end well.
    StartHook {
        message: String,
    },
    /// It did not become ready; its checks have the reason.
    NotReady,
}

/// When this process saw each pod first and saw it running first: so no rollout fails because the platform
/// was away.
#[derive(Debug)]
pub struct PodTimes {
    begun: Instant,
    /// Time that a pod may wait for a node besides its time to start.
    node_wait: Duration,
    pods: BTreeMap<String, (Instant, Option<Instant>)>,
}

impl PodTimes {
    /// With `waits_for_nodes` a pod that finds no node may wait for one as long as for its image: nodes may
    /// be made when pods need them.
    pub fn new(now: Instant, waits_for_nodes: bool) -> Self {
        let node_wait = if waits_for_nodes { NODE_WAIT_MAX } else { Duration::ZERO };
        Self { begun: now, node_wait, pods: BTreeMap::new() }
    }

    pub fn note(&mut self, pods: &[Replica], now: Instant) {
        self.pods.retain(|uid, _| pods.iter().any(|pod| pod.uid == *uid));
        for pod in pods {
            let (_, started) = self.pods.entry(pod.uid.clone()).or_insert((now, None));
            if started.is_none() && matches!(pod.stage, PodStage::Running | PodStage::Crashed(_)) {
                *started = Some(now);
            }
        }
    }

    /// When the pod's time to become ready is up.
    fn deadline(&self, pod: &Replica, timeout: Duration) -> Instant {
        let (first, started) = self.pods.get(&pod.uid).copied().unwrap_or((self.begun, None));
        match (started, &pod.stage) {
            (Some(started), _) => started + timeout,
            (None, PodStage::Preparing) => first + timeout + self.node_wait + PULL_MAX,
            (None, PodStage::Unplaced(_)) => first + timeout + self.node_wait,
            (None, _) => first + timeout,
        }
    }
}

/// Returns true if exactly the wanted pods exist and are ready.
pub fn is_whole(spec: &str, wanted: usize, pods: &[Replica]) -> bool {
    let mut staying = pods.iter().filter(|pod| pod.stays() && !pod.is_detached);
    let count = staying.clone().count();
    count == wanted && staying.all(|pod| pod.is_ready && pod.spec.as_deref() == Some(spec))
}

/// Judges the rollout of `workload`, whose pods have this hash.
pub fn judge(
    workload: &Workload,
    spec: &str,
    observed: &ObservedState,
    seen: &PodTimes,
    now: Instant,
) -> RolloutState {
    let ObservedState { is_noticed, wanted, available, refusal, pods } = observed;
    if !is_noticed {
        return RolloutState::Wait(Duration::from_secs(1));
    }
    let is_current = |pod: &&Replica| pod.spec.as_deref() == Some(spec);
    let detached = pods.iter().any(|pod| pod.is_detached && pod.stays());
    // Surplus pods must be gone; those of another release need only be leaving.
    let leaving = pods.iter().filter(is_current).any(|pod| pod.is_leaving);
    if is_whole(spec, *wanted, pods) && *available >= *wanted && !detached && !leaving {
        return RolloutState::Done;
    }
    if let Some(refusal) = refusal.as_ref().filter(|_| !pods.iter().any(|pod| pod.is_leaving)) {
        let process = &workload.id.process;
        let told = format!("Kubernetes makes no pod for {process}: {refusal}");
        return RolloutState::Fails(PodFailure { pod: None, why: FailureReason::Reason(told) });
    }
    let timeout = Duration::from_secs(workload.start_timeout_seconds.into());
    let starting = pods.iter().filter(is_current).filter(|pod| pod.stays() && !pod.is_ready);
    let mut nearest = timeout;
    for pod in starting {
        let left = seen.deadline(pod, timeout).saturating_duration_since(now);
        if let Some(why) = failing(workload, pod, left.is_zero()) {
            return RolloutState::Fails(PodFailure { pod: Some(pod.name.clone()), why });
        }
        nearest = nearest.min(left);
    }
    RolloutState::Wait(nearest.max(Duration::from_millis(100)))
}

fn failing(workload: &Workload, pod: &Replica, is_late: bool) -> Option<FailureReason> {
    let process = &workload.id.process;
    let late = |why: &str| failure_text::not_ready_in_time(process, workload.start_timeout_seconds, why);
    match &pod.stage {
        PodStage::Stuck { reason, message } if reason == "PostStartHookError" => {
            Some(FailureReason::StartHook { message: message.clone() })
        }
        PodStage::Stuck { reason, message } => (is_late || is_final(reason, message))
            .then(|| FailureReason::Reason(stuck(process.as_str(), reason, message))),
        PodStage::Crashed(exit) if pod.restarts > RESTARTS_MAX || is_late => {
            Some(FailureReason::Crashed { exit: *exit, times: i64::from(pod.restarts) + 1 })
        }
        PodStage::Unplaced(message) if is_late => {
            Some(FailureReason::Reason(late(&format!("no node takes it: {message}"))))
        }
        PodStage::Preparing if is_late => {
            Some(FailureReason::Reason(late("its image is still being pulled")))
        }
        PodStage::Running if is_late => Some(FailureReason::NotReady),
        _ => None,
    }
}

fn is_final(reason: &str, message: &str) -> bool {
    let is_refused = FINAL_REASONS.contains(&reason) && !is_of_a_busy_node(message);
    let message = message.to_ascii_lowercase();
    is_refused || (is_pull(reason) && FINAL_PULLS.iter().any(|it| message.contains(it)))
}

fn is_pull(reason: &str) -> bool {
    matches!(reason, "ErrImagePull" | "ImagePullBackOff" | "ImageInspectError" | "RegistryUnavailable")
}

fn stuck(process: &str, reason: &str, message: &str) -> String {
    match reason {
        _ if is_pull(reason) => format!("{process}: cannot pull its image: {message}"),
        "RunContainerError" | "StartError" | "ContainerCannotRun" | "CreateContainerError" => {
            failure_text::cannot_start(message)
        }
        _ => format!("{process} cannot start ({reason}): {message}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEC: &str = "abc";

    fn workload() -> Workload {
        let json = r#"{"id":{"app":"blog","process":"web"},"release":2,
            "image":{"kind":"external","reference":"a","digest":"sha256:0000000000000000000000000000000000000000000000000000000000000000"},
            "env":{},"port":8000,"replicas":{"fixed":2},"limits":{},"tags":{},"probes":{},"hooks":{},
            "grace_seconds":5,"start_timeout_seconds":20}"#;
        serde_json::from_str(json).expect("a workload")
    }

    /// `N` new and ready, `n` new, `O` old and ready; `-` before it: leaving; `+`: detached.
    fn pods(text: &str) -> Vec<Replica> {
        let mut pods = Vec::new();
        let (mut is_leaving, mut is_detached) = (false, false);
        for letter in text.chars() {
            match letter {
                '-' => is_leaving = true,
                '+' => is_detached = true,
                _ => {
                    let spec = if letter.eq_ignore_ascii_case(&'n') { SPEC } else { "old" };
                    pods.push(Replica {
                        name: format!("{letter}{}", pods.len()),
                        uid: pods.len().to_string(),
                        spec: Some(spec.to_owned()),
                        is_detached: std::mem::take(&mut is_detached),
                        is_leaving: std::mem::take(&mut is_leaving),
                        has_ended: false,
                        is_ready: letter.is_ascii_uppercase(),
                        restarts: 0,
                        crashes: None,
                        stage: PodStage::Running,
                    });
                }
            }
        }
        pods
    }

    fn observed(text: &str) -> ObservedState {
        let pods = pods(text);
        let available = pods.iter().filter(|pod| pod.is_ready).count();
        ObservedState { is_noticed: true, wanted: 2, available, refusal: None, pods }
    }

    fn after(seconds: u64, observed: &ObservedState) -> RolloutState {
        after_with(seconds, observed, false)
    }

    fn after_with(seconds: u64, observed: &ObservedState, waits_for_nodes: bool) -> RolloutState {
        let begun = Instant::now();
        let mut seen = PodTimes::new(begun, waits_for_nodes);
        seen.note(&observed.pods, begun);
        judge(&workload(), SPEC, observed, &seen, begun + Duration::from_secs(seconds))
    }

    #[test]
    fn a_rollout_is_done_when_just_the_wanted_pods_are_ready_and_no_old_one_stays() {
        assert_eq!(after(0, &observed("NN")), RolloutState::Done);
        assert_eq!(after(0, &observed("NN-O-O")), RolloutState::Done);
        for other in ["N", "Nn", "NNO", "NNN", "NN-N", "NN+N", "OO"] {
            assert!(matches!(after(0, &observed(other)), RolloutState::Wait(_)), "{other}");
        }
        let unseen = ObservedState { is_noticed: false, ..observed("NN") };
        assert!(matches!(after(0, &unseen), RolloutState::Wait(_)));
        let unsteady = ObservedState { available: 1, ..observed("NN") };
        assert!(matches!(after(0, &unsteady), RolloutState::Wait(_)));
    }

    #[test]
    fn a_pod_that_runs_but_does_not_become_ready_has_its_time() {
        let RolloutState::Wait(left) = after(15, &observed("Nn")) else { panic!("it has 5 s left") };

        assert_eq!(left, Duration::from_secs(5));
        let late = after(20, &observed("Nn"));
        assert_eq!(
            late,
            RolloutState::Fails(PodFailure { pod: Some("n1".to_owned()), why: FailureReason::NotReady })
        );
    }

    #[test]
    fn the_pull_of_an_image_does_not_count_as_time_to_start() {
        let mut pulling = observed("Nn");
        pulling.pods[1].stage = PodStage::Preparing;

        assert!(matches!(after(500, &pulling), RolloutState::Wait(_)));
        assert!(matches!(after(700, &pulling), RolloutState::Fails(_)));
    }

    #[test]
    fn a_pod_without_a_node_has_its_time_and_longer_where_nodes_come_when_needed() {
        let mut unplaced = observed("Nn");
        unplaced.pods[1].stage = PodStage::Unplaced("0/3 nodes are available".to_owned());

        assert!(matches!(after_with(19, &unplaced, false), RolloutState::Wait(_)));
        let RolloutState::Fails(failing) = after_with(20, &unplaced, false) else { panic!("its time is up") };
        assert!(
            matches!(failing.why, FailureReason::Reason(reason) if reason.contains("0/3 nodes are available"))
        );
        assert!(matches!(after_with(400, &unplaced, true), RolloutState::Wait(_)));
        assert!(matches!(after_with(440, &unplaced, true), RolloutState::Fails(_)));
    }

    #[test]
    fn what_no_waiting_changes_fails_at_once() {
        let told = |reason: &str, message: &str| {
            let mut stuck = observed("Nn");
            stuck.pods[1].stage = PodStage::Stuck { reason: reason.to_owned(), message: message.to_owned() };
            match after(0, &stuck) {
                RolloutState::Fails(PodFailure { why: FailureReason::Reason(reason), .. }) => Some(reason),
                _ => None,
            }
        };

        let missing = told("StartError", "runc: exec: \"nope\": no such file: unknown");
        assert_eq!(missing.as_deref(), Some("cannot start \"nope\": no such file"));
        let unknown = told("ErrImagePull", "a/b@sha256:12: Not Found");
        assert_eq!(unknown.as_deref(), Some("web: cannot pull its image: a/b@sha256:12: Not Found"));
        assert_eq!(told("ErrImagePull", "connection reset by peer"), None);
        assert_eq!(told("ErrImagePull", "pull access denied: authorization failed"), None);
        assert_eq!(told("CreateContainerConfigError", "secret not found"), None);
        assert_eq!(told("CreateContainerError", "rpc error: context deadline exceeded"), None);
    }

    #[test]
    fn one_end_may_be_bad_luck_and_two_are_a_crash_loop() {
        let mut crashed = observed("Nn");
        let exit = Exit { code: 3, is_out_of_memory: false };
        crashed.pods[1].stage = PodStage::Crashed(exit);
        assert!(matches!(after(0, &crashed), RolloutState::Wait(_)));

        crashed.pods[1].restarts = 1;

        let RolloutState::Fails(failing) = after(0, &crashed) else { panic!("a crash loop") };
        assert_eq!(failing.why, FailureReason::Crashed { exit, times: 2 });
    }

    #[test]
    fn a_quota_fails_a_rollout_unless_pods_that_leave_make_room() {
        let full =
            |text: &str| ObservedState { refusal: Some("exceeded quota".to_owned()), ..observed(text) };

        assert!(matches!(after(0, &full("N")), RolloutState::Fails(_)));
        assert!(matches!(after(0, &full("N-O")), RolloutState::Wait(_)));
    }
}
