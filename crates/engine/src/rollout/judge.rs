//! Judges a rollout: carried out, given up, or under way.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use domain::crashes::Exit;
use domain::deployment::Workload;

use super::failure_text;

/// Crashes of a new replica after which its rollout is given up; one may be bad luck.
pub const CRASHES_MAX: u64 = 2;
/// Time of a replica besides its time to start, while its image is pulled to a node.
const PULL_MAX: Duration = Duration::from_secs(600);
/// Further time while a node for it is being added. Both together are less than the wait of a deploy's callers.
const NODE_WAIT_MAX: Duration = Duration::from_secs(420);
/// Shortest time until the next pass.
const WAIT_MIN: Duration = Duration::from_millis(100);

/// One replica of a process type, as its rollout sees it. Those that have ended for good are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedReplica {
    /// Never used for another replica.
    pub id: String,
    /// Made from the desired workload.
    pub is_current: bool,
    /// To be replaced although it is current, as in a restart.
    pub is_condemned: bool,
    pub is_leaving: bool,
    pub is_ready: bool,
    pub crashes: u64,
    /// The last of its crashes.
    pub last_exit: Exit,
    pub stage: Stage,
}

/// Stage of a replica's start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// No node takes it, for this reason.
    Unplaced(String),
    /// Its image is pulled and its volumes are made.
    Preparing,
    /// It cannot be started, for this reason; a final one is not changed by waiting.
    Stuck {
        reason: String,
        is_final: bool,
    },
    /// The user's start hook failed in this way.
    HookFailed(String),
    Running,
    /// It crashed and waits for its next start.
    Crashed,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RolloutState {
    /// All that is wanted runs and nothing else stays.
    Done,
    Fails(ReplicaFailure),
    /// Reconcile again at the latest after this time.
    Wait(Duration),
}

/// Reason of a failure, as far as the replicas themselves show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaFailure {
    /// Id of the replica that says more.
    pub replica: Option<String>,
    pub why: FailureReason,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FailureReason {
    Reason(String),
    Crashed {
        exit: Exit,
        times: u64,
    },
    /// The user's start hook failed in this way.
    StartHook(String),
    /// It did not become ready; its checks have the reason.
    NotReady,
}

/// When this process saw each replica first and saw it running first: so no rollout fails because the platform
/// was away.
#[derive(Debug, Default)]
pub struct StartTimes {
    /// Time that a replica may wait for a node besides its time to start.
    node_wait: Duration,
    replicas: BTreeMap<String, (Instant, Option<Instant>)>,
}

impl ObservedReplica {
    pub fn stays(&self) -> bool {
        !self.is_leaving
    }

    /// Returns true if it counts towards the wanted number of replicas.
    pub fn is_wanted(&self) -> bool {
        self.is_current && !self.is_condemned
    }
}

impl StartTimes {
    /// With `waits_for_nodes` a replica that finds no node may wait for one as long as for its image: nodes may
    /// be made when replicas need them.
    pub fn new(waits_for_nodes: bool) -> Self {
        let node_wait = if waits_for_nodes { NODE_WAIT_MAX } else { Duration::ZERO };
        Self { node_wait, replicas: BTreeMap::new() }
    }

    /// Notes these replicas and forgets all others.
    pub fn note<'a>(&mut self, replicas: impl IntoIterator<Item = &'a ObservedReplica>, now: Instant) {
        let before = std::mem::take(&mut self.replicas);
        for replica in replicas {
            let (first, started) = before.get(&replica.id).copied().unwrap_or((now, None));
            let has_started = matches!(replica.stage, Stage::Running | Stage::Crashed | Stage::HookFailed(_));
            let started = started.or(has_started.then_some(now));
            self.replicas.insert(replica.id.clone(), (first, started));
        }
    }

    /// When the replica's time to become ready is up.
    fn deadline(&self, replica: &ObservedReplica, timeout: Duration, now: Instant) -> Instant {
        let (first, started) = self.replicas.get(&replica.id).copied().unwrap_or((now, None));
        match (started, &replica.stage) {
            (Some(started), _) => started + timeout,
            (None, Stage::Preparing) => first + timeout + self.node_wait + PULL_MAX,
            (None, Stage::Unplaced(_)) => first + timeout + self.node_wait,
            (None, _) => first + timeout,
        }
    }
}

/// Returns true if exactly the wanted replicas stay and are ready.
pub fn is_whole<'a>(wanted: usize, replicas: impl IntoIterator<Item = &'a ObservedReplica>) -> bool {
    let staying: Vec<_> = replicas.into_iter().filter(|replica| replica.stays()).collect();
    staying.len() == wanted && staying.iter().all(|replica| replica.is_wanted() && replica.is_ready)
}

/// Judges the rollout of `workload`, of which there are to be `wanted` replicas now.
pub fn judge(
    workload: &Workload,
    wanted: usize,
    replicas: &[ObservedReplica],
    times: &StartTimes,
    now: Instant,
) -> RolloutState {
    // Surplus replicas must be gone; those of another release need only be leaving.
    let is_surplus = |replica: &ObservedReplica| replica.is_current && replica.is_leaving;
    if is_whole(wanted, replicas) && !replicas.iter().any(is_surplus) {
        return RolloutState::Done;
    }
    let timeout = Duration::from_secs(workload.start_timeout_seconds.into());
    let is_starting = |replica: &&ObservedReplica| replica.is_current && replica.stays() && !replica.is_ready;
    let mut nearest = timeout;
    for replica in replicas.iter().filter(is_starting) {
        let left = times.deadline(replica, timeout, now).saturating_duration_since(now);
        if let Some(why) = failing(workload, replica, left.is_zero()) {
            return RolloutState::Fails(ReplicaFailure { replica: Some(replica.id.clone()), why });
        }
        nearest = nearest.min(left);
    }
    RolloutState::Wait(nearest.max(WAIT_MIN))
}

fn failing(workload: &Workload, replica: &ObservedReplica, is_late: bool) -> Option<FailureReason> {
    let late = |why: &str| {
        let told = failure_text::not_ready_in_time(&workload.id.process, workload.start_timeout_seconds, why);
        Some(FailureReason::Reason(told))
    };
    let crashed = || Some(FailureReason::Crashed { exit: replica.last_exit, times: replica.crashes });
    match &replica.stage {
        Stage::HookFailed(how) => Some(FailureReason::StartHook(how.clone())),
        Stage::Stuck { reason, is_final } if is_late || *is_final => {
            Some(FailureReason::Reason(reason.clone()))
        }
        Stage::Running | Stage::Crashed if replica.crashes >= CRASHES_MAX => crashed(),
        Stage::Crashed if is_late => crashed(),
        Stage::Running if is_late => Some(FailureReason::NotReady),
        Stage::Unplaced(message) if is_late => late(&format!("no node takes it: {message}")),
        Stage::Preparing if is_late => late("its image is still being pulled"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::tests::workload;

    /// `N` new and ready, `n` new, `O` old and ready; `-` before it: leaving; `+`: condemned.
    fn replicas(text: &str) -> Vec<ObservedReplica> {
        let mut replicas = Vec::new();
        let (mut is_leaving, mut is_condemned) = (false, false);
        for letter in text.chars() {
            match letter {
                '-' => is_leaving = true,
                '+' => is_condemned = true,
                _ => replicas.push(ObservedReplica {
                    id: format!("{letter}{}", replicas.len()),
                    is_current: letter.eq_ignore_ascii_case(&'n'),
                    is_condemned: std::mem::take(&mut is_condemned),
                    is_leaving: std::mem::take(&mut is_leaving),
                    is_ready: letter.is_ascii_uppercase(),
                    crashes: 0,
                    last_exit: Exit::default(),
                    stage: Stage::Running,
                }),
            }
        }
        replicas
    }

    /// Two of which the second is new, and neither ready nor known to be anything else than this.
    fn second(stage: Stage, crashes: u64) -> Vec<ObservedReplica> {
        let mut replicas = replicas("Nn");
        let last_exit = Exit { code: 3, is_out_of_memory: false };
        replicas[1] = ObservedReplica { stage, crashes, last_exit, ..replicas[1].clone() };
        replicas
    }

    fn after(seconds: u64, replicas: &[ObservedReplica]) -> RolloutState {
        after_with(seconds, replicas, false)
    }

    fn after_with(seconds: u64, replicas: &[ObservedReplica], waits_for_nodes: bool) -> RolloutState {
        let begun = Instant::now();
        let mut times = StartTimes::new(waits_for_nodes);
        times.note(replicas, begun);
        judge(&workload(), 2, replicas, &times, begun + Duration::from_secs(seconds))
    }

    fn reason(state: RolloutState) -> Option<FailureReason> {
        match state {
            RolloutState::Fails(ReplicaFailure { why, .. }) => Some(why),
            _ => None,
        }
    }

    #[test]
    fn a_rollout_is_done_when_just_the_wanted_replicas_are_ready_and_no_old_one_stays() {
        assert_eq!(after(0, &replicas("NN")), RolloutState::Done);
        assert_eq!(after(0, &replicas("NN-O-O")), RolloutState::Done);
        for other in ["N", "Nn", "NNO", "NNN", "NN-N", "NN+N", "OO"] {
            assert!(matches!(after(0, &replicas(other)), RolloutState::Wait(_)), "{other}");
        }
    }

    #[test]
    fn a_replica_that_runs_but_does_not_become_ready_has_its_time() {
        let RolloutState::Wait(left) = after(15, &replicas("Nn")) else { panic!("it has 5 s left") };

        assert_eq!(left, Duration::from_secs(5));
        let failure = ReplicaFailure { replica: Some("n1".to_owned()), why: FailureReason::NotReady };
        assert_eq!(after(20, &replicas("Nn")), RolloutState::Fails(failure));
    }

    #[test]
    fn the_time_of_a_replica_begins_anew_with_its_first_start_and_not_with_later_ones() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let mut times = StartTimes::new(false);
        times.note(&second(Stage::Preparing, 0), begun);
        times.note(&second(Stage::Running, 0), at(100));
        times.note(&second(Stage::Crashed, 1), at(110));
        let running = second(Stage::Running, 1);
        times.note(&running, at(111));

        assert!(matches!(judge(&workload(), 2, &running, &times, at(119)), RolloutState::Wait(_)));
        assert!(matches!(judge(&workload(), 2, &running, &times, at(120)), RolloutState::Fails(_)));
    }

    #[test]
    fn the_pull_of_an_image_does_not_count_as_time_to_start() {
        let pulling = second(Stage::Preparing, 0);

        assert!(matches!(after(500, &pulling), RolloutState::Wait(_)));
        assert!(matches!(after(700, &pulling), RolloutState::Fails(_)));
    }

    #[test]
    fn a_replica_without_a_node_has_its_time_and_longer_where_nodes_come_when_needed() {
        let unplaced = second(Stage::Unplaced("0/3 nodes are available".to_owned()), 0);

        assert!(matches!(after_with(19, &unplaced, false), RolloutState::Wait(_)));
        let why = reason(after_with(20, &unplaced, false));
        assert!(
            matches!(why, Some(FailureReason::Reason(reason)) if reason.contains("0/3 nodes are available"))
        );
        assert!(matches!(after_with(400, &unplaced, true), RolloutState::Wait(_)));
        assert!(matches!(after_with(440, &unplaced, true), RolloutState::Fails(_)));
    }

    #[test]
    fn only_a_final_reason_fails_at_once() {
        let stuck = |is_final| second(Stage::Stuck { reason: "no such program".to_owned(), is_final }, 1);
        let told = Some(FailureReason::Reason("no such program".to_owned()));

        assert_eq!(reason(after(0, &stuck(true))), told);
        assert_eq!(reason(after(19, &stuck(false))), None);
        assert_eq!(reason(after(20, &stuck(false))), told);
        let hook = second(Stage::HookFailed("it exited with code 4".to_owned()), 0);
        assert_eq!(
            reason(after(0, &hook)),
            Some(FailureReason::StartHook("it exited with code 4".to_owned()))
        );
    }

    #[test]
    fn one_crash_may_be_bad_luck_and_two_are_a_crash_loop() {
        let exit = Exit { code: 3, is_out_of_memory: false };
        for stage in [Stage::Crashed, Stage::Running] {
            assert!(matches!(after(0, &second(stage.clone(), 1)), RolloutState::Wait(_)));
            let why = reason(after(0, &second(stage, 2)));
            assert_eq!(why, Some(FailureReason::Crashed { exit, times: 2 }));
        }
        let late = reason(after(20, &second(Stage::Crashed, 1)));
        assert_eq!(late, Some(FailureReason::Crashed { exit, times: 1 }));
        let mut settled = second(Stage::Running, 2);
        settled[1].is_ready = true;
        assert_eq!(after(0, &settled), RolloutState::Done, "it runs now");
    }
}
