//! Pods: listing, scaling and restarting.

use std::collections::BTreeMap;

use super::{Client, ClientError, part};
use crate::pods::{Pod, Pods};

impl Client {
    /// Lists pods of the current release, newest first.
    pub fn pods(&self, app: &str, limit: i64) -> Result<Pods, ClientError> {
        self.get(&format!("/v2/apps/{}/pods/?limit={limit}", part(app)))
    }

    /// Changes the number of pods of each named process type; returns when that many run.
    ///
    /// # Errors
    ///
    /// [`ClientError::Status`] with 404 for an unknown process type, with 503 where the engine cannot run that
    /// many; the old counts stay (docs/spec/api.md 4.10).
    pub fn scale(&self, app: &str, replicas: &BTreeMap<String, u32>) -> Result<(), ClientError> {
        self.tell(&format!("/v2/apps/{}/scale/", part(app)), replicas)
    }

    /// Restarts all pods, those of one type, or one of them; answers with the pods afterwards.
    pub fn restart(
        &self,
        app: &str,
        process_type: Option<&str>,
        pod: Option<&str>,
    ) -> Result<Vec<Pod>, ClientError> {
        let mut path = format!("/v2/apps/{}/pods/", part(app));
        for name in [process_type, pod].into_iter().flatten() {
            path.push_str(&part(name));
            path.push('/');
        }
        self.post_empty(&format!("{path}restart/"))
    }
}
