//! Pods: the running replicas of a workload, as users see them in `deis ps`.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::crashes::Crashes;
use crate::names::{AppName, ProcessType};

/// One running replica, whatever the engine calls it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pod {
    /// `<app>-<type>-<hash>-<5 of a-z0-9>`.
    pub name: String,
    pub app: AppName,
    pub process: ProcessType,
    /// Number of the release it runs.
    pub release: u64,
    pub state: PodState,
    pub started: Option<Timestamp>,
    /// Unrequested exits of its process; `None` if there was none.
    pub crashes: Option<Crashes>,
}

/// State of a pod (docs/spec/api.md 4.11).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PodState {
    Initializing,
    Creating,
    Starting,
    Up,
    Terminating,
    Down,
    Crashed,
    Error,
    /// A raw reason of the engine, such as `ImagePullBackOff`.
    Other(String),
}

impl PodState {
    /// The word that the API answers.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Initializing => "initializing",
            Self::Creating => "creating",
            Self::Starting => "starting",
            Self::Up => "up",
            Self::Terminating => "terminating",
            Self::Down => "down",
            Self::Crashed => "crashed",
            Self::Error => "error",
            Self::Other(reason) => reason,
        }
    }
}

/// Selection of an app's pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PodSelection {
    All,
    Process(ProcessType),
    Named(String),
}

/// The pods that users see: those of one release, newest start first. One-off pods are none of them,
/// and neither are those that have ended (docs/spec/api.md 4.11).
pub fn listed(pods: Vec<Pod>, release: u64, selection: &PodSelection) -> Vec<Pod> {
    let mut shown: Vec<_> = pods
        .into_iter()
        .filter(|pod| pod.release == release && pod.process != ProcessType::run())
        .filter(|pod| !matches!(pod.state, PodState::Down | PodState::Crashed))
        .filter(|pod| selection.selects(pod))
        .collect();
    // A pod that has not started yet is the newest.
    shown.sort_by_key(|pod| std::cmp::Reverse((pod.started.is_none(), pod.started)));
    shown
}

impl PodSelection {
    /// Returns true if the selection includes the pod.
    pub fn selects(&self, pod: &Pod) -> bool {
        match self {
            Self::All => true,
            Self::Process(process) => pod.process == *process,
            Self::Named(name) => pod.name == *name,
        }
    }
}

/// Full name of the pod that a user means: without the app in front, as logs show it, it is the short
/// form `type-hash-rand`.
pub fn full_name<'a>(pods: &'a [Pod], app: &AppName, typed: &str) -> Option<&'a str> {
    let short = format!("{app}-{typed}");
    pods.iter().map(|pod| pod.name.as_str()).find(|name| *name == typed || *name == short)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(process: &str, rand: &str, release: u64, state: PodState, started: Option<i64>) -> Pod {
        Pod {
            name: format!("blog-{process}-7d5f4-{rand}"),
            app: AppName::parse("blog").expect("a good name"),
            process: ProcessType::parse(process).expect("a good type"),
            release,
            state,
            started: started.map(|second| Timestamp::from_second(second).expect("a near moment")),
            crashes: None,
        }
    }

    fn names(pods: &[Pod]) -> Vec<&str> {
        pods.iter().map(|pod| pod.name.as_str()).collect()
    }

    #[test]
    fn pods_of_the_release_are_listed_newest_first_without_ended_and_one_off_ones() {
        let pods = vec![
            pod("web", "aaaaa", 3, PodState::Up, Some(10)),
            pod("web", "bbbbb", 2, PodState::Up, Some(90)),
            pod("run", "ccccc", 3, PodState::Up, Some(90)),
            pod("web", "ddddd", 3, PodState::Crashed, Some(90)),
            pod("web", "eeeee", 3, PodState::Down, Some(90)),
            pod("worker", "fffff", 3, PodState::Terminating, Some(20)),
            pod("web", "ggggg", 3, PodState::Creating, None),
        ];

        let shown = listed(pods.clone(), 3, &PodSelection::All);
        let named = PodSelection::Named("blog-web-7d5f4-aaaaa".to_owned());

        assert_eq!(
            names(&shown),
            ["blog-web-7d5f4-ggggg", "blog-worker-7d5f4-fffff", "blog-web-7d5f4-aaaaa"]
        );
        assert_eq!(names(&listed(pods.clone(), 3, &named)), ["blog-web-7d5f4-aaaaa"]);
        assert_eq!(listed(pods, 3, &PodSelection::Process(ProcessType::web())).len(), 2);
    }

    #[test]
    fn a_pod_is_known_by_its_full_and_by_its_short_name() {
        let pods = [pod("web", "aaaaa", 3, PodState::Up, None)];
        let app = &pods[0].app;

        assert_eq!(full_name(&pods, app, "web-7d5f4-aaaaa"), Some("blog-web-7d5f4-aaaaa"));
        assert_eq!(full_name(&pods, app, "blog-web-7d5f4-aaaaa"), Some("blog-web-7d5f4-aaaaa"));
        assert_eq!(full_name(&pods, app, "web"), None);
    }
}
