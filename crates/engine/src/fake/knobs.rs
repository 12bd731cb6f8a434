//! What a test can make the engine do, and what it can ask it afterwards.

use std::collections::BTreeMap;

use domain::AppName;
use domain::build::Finished;
use domain::logs::LogLine;
use domain::pods::PodState;

use super::{Asked, CannedBuild, FakeEngine};
use crate::ResolvedImage;

impl FakeEngine {
    /// Lets the next rollout of the app fail with this reason.
    pub fn fail_next_rollout(&self, app: &AppName, reason: &str) {
        self.state().failures.entry(app.clone()).or_default().push_back(reason.to_owned());
    }

    /// Lets rollouts of the app neither end nor fail until [`FakeEngine::resume`].
    pub fn hang(&self, app: &AppName) {
        self.state().hanging.insert(app.clone());
    }

    /// Lets rollouts of the app settle again, those that hang first.
    pub fn resume(&self, app: &AppName) {
        let mut state = self.state();
        state.hanging.remove(app);
        let ids: Vec<_> = state.apps.keys().filter(|id| id.app == *app).cloned().collect();
        ids.iter().for_each(|id| state.settle(id));
        self.publish(state);
    }

    /// Takes the engine away, or gives it back.
    pub fn set_reachable(&self, is_reachable: bool) {
        self.state().is_unreachable = !is_reachable;
        self.inner.changed.send_modify(|count| *count += 1);
    }

    /// How the next build goes; without one it fails with a sentence that says so.
    pub fn will_build(&self, build: CannedBuild) {
        self.state().build_results.push_back(build);
    }

    /// How the next one-off process ends; without one it says nothing and exits with 0.
    pub fn will_finish(&self, finished: Finished) {
        self.state().run_results.push_back(finished);
    }

    /// Lets a reference be resolved.
    pub fn register_image(&self, reference: &str, image: ResolvedImage) {
        self.state().known_images.insert(reference.to_owned(), image);
    }

    /// Lets the registry refuse a reference.
    pub fn deny_image(&self, reference: &str) {
        self.state().denied_images.insert(reference.to_owned());
    }

    /// Labels of the one node.
    pub fn label_node(&self, labels: BTreeMap<String, String>) {
        self.state().node_labels = labels;
    }

    /// Puts a pod into another state, as when its process crashes.
    pub fn set_pod_state(&self, name: &str, to: &PodState) {
        let mut state = self.state();
        let pods = state.apps.values_mut().flat_map(|workload| &mut workload.pods);
        pods.filter(|pod| pod.name == name).for_each(|pod| pod.state = to.clone());
        self.publish(state);
    }

    /// What the engine was asked so far.
    pub fn asked(&self) -> Asked {
        self.state().asked.clone()
    }

    /// The last lines that were written about an app, oldest first.
    pub fn lines(&self, app: &AppName) -> Vec<LogLine> {
        self.inner.lines.recent().into_iter().filter(|line| line.app == *app).collect()
    }
}
