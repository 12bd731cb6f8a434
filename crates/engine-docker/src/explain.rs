//! Reason of a failed rollout for users, from a container's state and last lines.

use bollard::query_parameters::LogsOptionsBuilder;
use domain::deployment::Workload;
use futures_util::StreamExt as _;

use super::Inner;
use super::tasks::AppState;
use engine::rollout::failure_text::{self, Evidence, LINES_SHOWN, SHOWN_BYTES_MAX};
use engine::rollout::judge::ReplicaFailure;

impl Inner {
    /// The first tag of a workload that this node does not have, as a reason.
    pub(super) fn no_node(&self, workload: &Workload) -> Option<String> {
        let labels = &self.settings.node_labels;
        let (name, value) = workload.tags.iter().find(|(name, value)| labels.get(*name) != Some(value))?;
        Some(failure_text::no_node_with(name, value))
    }

    /// The reason with the last lines of the replica, where it said any. `miss` is why its checks do not pass.
    pub(super) async fn explain(
        &self,
        workload: &Workload,
        failure: &ReplicaFailure,
        miss: Option<String>,
    ) -> String {
        let output = match &failure.replica {
            Some(container) => self.last_output(container).await,
            None => Vec::new(),
        };
        failure_text::told(workload, &failure.why, Evidence { hook: None, miss, output })
    }

    async fn last_output(&self, container: &str) -> Vec<u8> {
        let options =
            LogsOptionsBuilder::default().stdout(true).stderr(true).tail(&LINES_SHOWN.to_string()).build();
        let mut chunks = std::pin::pin!(self.client.logs(container, Some(options)));
        let mut text = Vec::new();
        while let Some(Ok(chunk)) = chunks.next().await {
            text.extend_from_slice(&chunk.into_bytes());
            if text.len() > SHOWN_BYTES_MAX {
                text.drain(..text.len() - SHOWN_BYTES_MAX);
            }
        }
        text
    }
}

impl AppState {
    /// Reason why a replica is not ready, as far as its checks or its container show it.
    pub fn miss(&self, failure: &ReplicaFailure) -> Option<String> {
        let id = failure.replica.as_ref()?;
        let replica = self.replicas.iter().find(|replica| replica.id == *id)?;
        let miss = self.health.get(&replica.key).and_then(|health| health.last_miss.clone());
        Some(miss.unwrap_or_else(|| format!("its container is {}", replica.status)))
    }
}
