//! Giving up a desired state, and the message for the user.

use std::time::Duration;

use bollard::query_parameters::LogsOptionsBuilder;
use domain::crashes::Exit;
use domain::deployment::Workload;
use futures_util::StreamExt as _;

use super::Inner;
use super::replicas::Replica;
use super::tasks::AppState;
use engine::rollout::desired_state::DesiredState;
use engine::rollout::failure_text::{self, LINES_SHOWN, SHOWN_BYTES_MAX};
use engine::rollout::replica::spec_hash;

/// Exits of a new replica that are taken for bad luck; one more is a crash loop.
const RESTARTS_MAX: i64 = 2;

/// A desired state that fails.
pub struct FailedRollout {
    workload: Workload,
    reason: String,
    /// The container whose last lines say more.
    container: Option<String>,
}

/// The desired states under way that cannot be reached.
pub fn failing(inner: &Inner, state: &AppState) -> Vec<FailedRollout> {
    let pending = state.desired.workloads.iter().filter(|(_, desired)| !desired.is_settled);
    pending.filter_map(|(_, desired)| check(inner, state, desired)).collect()
}

/// The reason with the last lines of the replica, where there is one.
pub async fn explain(inner: &Inner, failing: FailedRollout) -> (Workload, String) {
    let FailedRollout { workload, reason, container } = failing;
    let Some(container) = container else { return (workload, reason) };
    let output = last_output(inner, &container).await;
    (workload, failure_text::with_last_lines(reason, &output))
}

fn check(inner: &Inner, state: &AppState, desired: &DesiredState) -> Option<FailedRollout> {
    let workload = desired.wanted.as_ref()?;
    if let Some(reason) = no_node(inner, workload) {
        return Some(FailedRollout { workload: workload.clone(), reason, container: None });
    }
    let spec = spec_hash(workload);
    let new = state.replicas.iter().filter(|r| r.process == workload.id.process && r.spec == spec);
    let starting = new.filter(|replica| !state.is_ready(replica) && !state.is_retiring(replica));
    starting.into_iter().find_map(|replica| check_replica(state, workload, replica))
}

fn no_node(inner: &Inner, workload: &Workload) -> Option<String> {
    let labels = &inner.settings.node_labels;
    let (name, value) = workload.tags.iter().find(|(name, value)| labels.get(*name) != Some(value))?;
    Some(failure_text::no_node_with(name, value))
}

fn check_replica(state: &AppState, workload: &Workload, replica: &Replica) -> Option<FailedRollout> {
    let process = &workload.id.process;
    let health = state.health.get(&replica.key);
    let reason = if let Some(failure) = health.and_then(|health| health.failure.as_ref()) {
        format!("{process}: {failure}")
    } else if replica.restarts > RESTARTS_MAX {
        failure_text::crashed(process, exit(state, replica), &workload.limits, replica.restarts)
    } else if is_late(state, workload, replica) {
        let why = health.and_then(|health| health.last_miss.clone()).unwrap_or_else(|| waiting(replica));
        failure_text::not_ready_in_time(process, workload.start_timeout_seconds, &why)
    } else {
        return None;
    };
    Some(FailedRollout { workload: workload.clone(), reason, container: Some(replica.id.clone()) })
}

fn is_late(state: &AppState, workload: &Workload, replica: &Replica) -> bool {
    let bound = Duration::from_secs(workload.start_timeout_seconds.into());
    state.first_seen.get(&replica.id).is_some_and(|seen| seen.elapsed() > bound)
}

fn waiting(replica: &Replica) -> String {
    format!("its container is {}", replica.status)
}

fn exit(state: &AppState, replica: &Replica) -> Exit {
    let seen = Exit { code: replica.exit_code, is_out_of_memory: replica.is_out_of_memory };
    state.ends.last(&replica.id).unwrap_or(seen)
}

async fn last_output(inner: &Inner, container: &str) -> Vec<u8> {
    let options =
        LogsOptionsBuilder::default().stdout(true).stderr(true).tail(&LINES_SHOWN.to_string()).build();
    let mut chunks = std::pin::pin!(inner.client.logs(container, Some(options)));
    let mut text = Vec::new();
    while let Some(Ok(chunk)) = chunks.next().await {
        text.extend_from_slice(&chunk.into_bytes());
        if text.len() > SHOWN_BYTES_MAX {
            text.drain(..text.len() - SHOWN_BYTES_MAX);
        }
    }
    text
}
