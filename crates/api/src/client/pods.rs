//! Pods: listing, scaling and restarting.

use super::{Client, ClientError, folder};
use crate::pods::{
    PODS_PATH, Pod, Pods, RESTART_PATH, RESTART_POD_PATH, RESTART_TYPE_PATH, SCALE_PATH, Scale,
};

impl Client {
    /// Lists pods of the current release, newest first.
    pub fn pods(&self, app: &str, limit: i64) -> Result<Pods, ClientError> {
        self.get(&format!("{}?limit={limit}", folder(PODS_PATH, [app])))
    }

    /// Changes the number of pods of each named process type; returns when that many run.
    ///
    /// # Errors
    ///
    /// [`ClientError::Status`] with 404 for an unknown process type, with 503 where the engine cannot run that
    /// many; the old counts stay (docs/spec/api.md 4.10).
    pub fn scale(&self, app: &str, replicas: &Scale) -> Result<(), ClientError> {
        self.tell(&folder(SCALE_PATH, [app]), replicas)
    }

    /// Restarts all pods, those of one type, or one of them; answers with the pods afterwards.
    pub fn restart(
        &self,
        app: &str,
        process_type: Option<&str>,
        pod: Option<&str>,
    ) -> Result<Vec<Pod>, ClientError> {
        self.post_empty(&match (process_type, pod) {
            (Some(process_type), Some(pod)) => folder(RESTART_POD_PATH, [app, process_type, pod]),
            (Some(name), None) | (None, Some(name)) => folder(RESTART_TYPE_PATH, [app, name]),
            (None, None) => folder(RESTART_PATH, [app]),
        })
    }
}
