//! Crashes of a workload's pods that are new since the last pass.
//!
//! The kubelet restarts containers and counts; a pod keeps the exit of its last run.

use std::collections::BTreeMap;

use domain::crashes::Crashes;

use super::replicas::Replica;

/// Crashes that were counted at the last pass, by the UID of the pod.
#[derive(Debug, Default)]
pub struct CrashCounts {
    /// `None` before the first pass: crashes from before this process began are not reported again.
    pods: Option<BTreeMap<String, u64>>,
}

impl CrashCounts {
    /// Pods that crashed since the last pass. Exits of leaving pods were requested.
    pub fn news<'a>(&mut self, pods: &'a [Replica]) -> Vec<(&'a Replica, Crashes)> {
        let crashes = |pod: &Replica| pod.crashes.map_or(0, |crashes| crashes.times);
        let now = pods.iter().map(|pod| (pod.uid.clone(), crashes(pod))).collect();
        let Some(before) = self.pods.replace(now) else { return Vec::new() };
        let is_new =
            |pod: &&Replica| pod.stays() && crashes(pod) > before.get(&pod.uid).copied().unwrap_or(0);
        pods.iter().filter(is_new).filter_map(|pod| Some((pod, pod.crashes?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use domain::crashes::Exit;
    use jiff::Timestamp;

    use super::*;
    use engine::rollout::judge::Stage;

    fn pod(uid: &str, times: u64) -> Replica {
        let exit = Exit { code: 3, is_out_of_memory: false };
        let now = Timestamp::UNIX_EPOCH;
        Replica {
            name: format!("blog-web-7d5f4-{uid}"),
            uid: uid.to_owned(),
            spec: None,
            is_detached: false,
            is_leaving: false,
            has_ended: false,
            is_ready: true,
            crashes: (times > 0).then_some(Crashes { exit, times, since: now, last: now }),
            stage: Stage::Running,
        }
    }

    fn names<'a>(counted: &mut CrashCounts, pods: &'a [Replica]) -> Vec<&'a str> {
        counted.news(pods).into_iter().map(|(pod, _)| pod.uid.as_str()).collect()
    }

    #[test]
    fn each_crash_is_news_once_and_none_from_before_the_first_pass() {
        let mut counted = CrashCounts::default();

        assert_eq!(names(&mut counted, &[pod("a", 4)]), [""; 0]);
        assert_eq!(names(&mut counted, &[pod("a", 4), pod("b", 1)]), ["b"]);
        assert_eq!(names(&mut counted, &[pod("a", 5), pod("b", 1)]), ["a"]);
        assert_eq!(names(&mut counted, &[pod("a", 5), pod("b", 1)]), [""; 0]);
    }

    #[test]
    fn a_pod_on_its_way_out_does_not_crash() {
        let mut counted = CrashCounts::default();
        counted.news(&[pod("a", 0)]);

        let leaving = Replica { is_leaving: true, ..pod("a", 1) };

        assert_eq!(names(&mut counted, &[leaving]), [""; 0]);
    }
}
