//! Controls for tests, and questions about what the engine did.

use std::collections::BTreeMap;

use domain::build::ProcessResult;
use domain::crashes::{Crash, Crashes, Exit};
use domain::pods::PodState;
use domain::sbom::Inventory;
use domain::{AppName, Digest};
use jiff::Timestamp;

use super::{CannedBuild, FakeEngine, RecordedCalls};
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

    /// Sets the next build; without one it fails with a sentence that says so.
    pub fn will_build(&self, build: CannedBuild) {
        self.state().build_results.push_back(build);
    }

    /// Sets the image that a rebase makes; without it slugs stand on the newest images.
    pub fn will_rebase(&self, digest: Digest) {
        self.state().rebased_digest = Some(digest);
    }

    /// Sets the end of the next one-off process; without one it prints nothing and exits with 0.
    pub fn will_finish(&self, finished: ProcessResult) {
        self.state().run_results.push_back(finished);
    }

    /// Lets a reference be resolved.
    pub fn register_image(&self, reference: &str, image: ResolvedImage) {
        self.state().known_images.insert(reference.to_owned(), image);
    }

    /// Sets the packages of an image; others have none.
    pub fn set_packages(&self, image: Digest, inventory: Inventory) {
        self.state().inventories.insert(image, inventory);
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

    /// Lets the process of a pod crash; it is started again at once. `false`, and no crash, if there is no reader
    /// of crashes.
    pub fn crash(&self, name: &str, exit: Exit) -> bool {
        if !self.inner.crashes.has_readers() {
            return false;
        }
        let mut state = self.state();
        let pods = state.apps.values_mut().flat_map(|workload| &mut workload.pods);
        let Some(pod) = pods.into_iter().find(|pod| pod.name == name) else { return false };
        let crashes = Crashes::after(pod.crashes, exit, Timestamp::now());
        pod.crashes = Some(crashes);
        let crash = Crash {
            app: pod.app.clone(),
            process: pod.process.clone(),
            release: pod.release,
            pod: name.to_owned(),
            memory_limit_bytes: None,
            crashes,
        };
        self.publish(state);
        self.inner.crashes.send(crash);
        true
    }

    /// Calls of the engine so far.
    pub fn asked(&self) -> RecordedCalls {
        self.state().calls.clone()
    }
}
