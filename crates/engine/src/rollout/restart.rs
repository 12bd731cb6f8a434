//! Restarts of pods: which of them are replaced, and which take their place.

use std::collections::BTreeSet;
use std::time::Duration;

use domain::deployment::Workload;
use domain::pods::{Pod, PodSelection, PodState};

/// Bound of a restart besides the time that replicas may take to start and to stop.
const BESIDES: Duration = Duration::from_secs(30);

/// Pods of an app before some of them are replaced.
pub struct Restart<'a> {
    selection: &'a PodSelection,
    before: BTreeSet<String>,
    /// Pods to replace.
    pub chosen: Vec<Pod>,
}

impl<'a> Restart<'a> {
    pub fn new(before: Vec<Pod>, selection: &'a PodSelection) -> Self {
        let before = staying(before);
        let names = before.iter().map(|pod| pod.name.clone()).collect();
        let chosen = before.into_iter().filter(|pod| selection.selects(pod)).collect();
        Self { selection, before: names, chosen }
    }

    /// Pods of the selection that run afterwards; for a named pod its successor.
    pub fn successors(self, after: Vec<Pod>) -> Vec<Pod> {
        let is_meant = |pod: &Pod| match self.selection {
            PodSelection::Named(_) => {
                let is_new = !self.before.contains(&pod.name);
                is_new && self.chosen.iter().any(|chosen| chosen.process == pod.process)
            }
            selection => selection.selects(pod),
        };
        staying(after).into_iter().filter(is_meant).collect()
    }
}

/// Time after which pods whose successors are not ready stay.
pub fn time_max<'a>(wanted: impl Iterator<Item = &'a Workload> + Clone, pods: usize) -> Duration {
    let start_seconds = wanted.clone().map(|workload| workload.start_timeout_seconds).max().unwrap_or(0);
    let batch = wanted.map(|workload| workload.batch as usize).min().unwrap_or(1).max(1);
    let batches = u32::try_from(pods.div_ceil(batch)).unwrap_or(u32::MAX);
    Duration::from_secs(start_seconds.into()).saturating_mul(batches) + BESIDES
}

fn staying(mut pods: Vec<Pod>) -> Vec<Pod> {
    let goes = |state: &PodState| matches!(state, PodState::Terminating | PodState::Down | PodState::Crashed);
    pods.retain(|pod| !goes(&pod.state));
    pods
}

#[cfg(test)]
mod tests {
    use domain::{AppName, ProcessType};

    use super::*;
    use crate::rollout::tests::workload;

    fn pod(name: &str, process: &str, state: PodState) -> Pod {
        Pod {
            name: name.to_owned(),
            app: AppName::parse("blog").expect("a good name"),
            process: ProcessType::parse(process).expect("a good type"),
            release: 2,
            state,
            started: None,
            crashes: None,
        }
    }

    fn names(pods: &[Pod]) -> Vec<&str> {
        pods.iter().map(|pod| pod.name.as_str()).collect()
    }

    #[test]
    fn pods_that_stay_are_replaced_and_those_of_the_selection_are_their_successors() {
        let selection = PodSelection::Process(ProcessType::web());
        let before = vec![
            pod("a", "web", PodState::Up),
            pod("b", "web", PodState::Terminating),
            pod("c", "worker", PodState::Up),
        ];

        let restart = Restart::new(before, &selection);

        assert_eq!(names(&restart.chosen), ["a"]);
        let after = vec![
            pod("a", "web", PodState::Terminating),
            pod("d", "web", PodState::Up),
            pod("c", "worker", PodState::Up),
        ];
        assert_eq!(names(&restart.successors(after)), ["d"]);
    }

    #[test]
    fn the_successor_of_a_named_pod_is_the_new_one_of_its_process_type() {
        let selection = PodSelection::Named("a".to_owned());
        let before = vec![pod("a", "web", PodState::Up), pod("b", "web", PodState::Up)];

        let restart = Restart::new(before, &selection);

        assert_eq!(names(&restart.chosen), ["a"]);
        let after = ["b", "c"].map(|name| pod(name, "web", PodState::Up)).into_iter();
        let after = after.chain([pod("d", "worker", PodState::Up)]).collect();
        assert_eq!(names(&restart.successors(after)), ["c"]);
    }

    #[test]
    fn each_batch_has_the_time_that_its_pods_may_take_to_start() {
        let workload = Workload { start_timeout_seconds: 20, batch: 2, ..workload() };

        assert_eq!(time_max([&workload].into_iter(), 5), Duration::from_secs(20 * 3 + 30));
        assert_eq!(time_max(std::iter::empty(), 5), Duration::from_secs(30));
    }
}
