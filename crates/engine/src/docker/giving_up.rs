//! When a wish cannot be carried out, and what to tell the user about it.

use std::time::Duration;

use bollard::query_parameters::LogsOptionsBuilder;
use domain::deployment::Workload;
use futures_util::StreamExt as _;

use super::Inner;
use super::app::State;
use super::replicas::Replica;
use crate::failure_text::{self, Exit, LINES_SHOWN, SHOWN_BYTES_MAX};
use crate::replica::spec_hash;
use crate::wish::Wish;

/// Exits of a new replica that are taken for bad luck; one more is a crash loop.
const RESTARTS_MAX: i64 = 2;

/// A wish that fails.
pub struct Failing {
    workload: Workload,
    reason: String,
    /// The container whose last lines say more.
    container: Option<String>,
}

/// The wishes under way that will not come true.
pub fn failing(inner: &Inner, state: &State) -> Vec<Failing> {
    let pending = state.wish.workloads.iter().filter(|(_, wish)| !wish.is_settled);
    pending.filter_map(|(_, wish)| check(inner, state, wish)).collect()
}

/// The reason with the last lines of the replica, where there is one.
pub async fn explain(inner: &Inner, failing: Failing) -> (Workload, String) {
    let Failing { workload, reason, container } = failing;
    let Some(container) = container else { return (workload, reason) };
    let output = last_output(inner, &container).await;
    (workload, failure_text::with_last_lines(reason, &output))
}

fn check(inner: &Inner, state: &State, wish: &Wish) -> Option<Failing> {
    let workload = wish.wanted.as_ref()?;
    if let Some(reason) = no_node(inner, workload) {
        return Some(Failing { workload: workload.clone(), reason, container: None });
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

fn check_replica(state: &State, workload: &Workload, replica: &Replica) -> Option<Failing> {
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
    Some(Failing { workload: workload.clone(), reason, container: Some(replica.id.clone()) })
}

fn is_late(state: &State, workload: &Workload, replica: &Replica) -> bool {
    let bound = Duration::from_secs(workload.start_timeout_seconds.into());
    state.seen.get(&replica.id).is_some_and(|seen| seen.elapsed() > bound)
}

fn waiting(replica: &Replica) -> String {
    format!("its container is {}", replica.status)
}

fn exit(state: &State, replica: &Replica) -> Exit {
    let seen = Exit { code: replica.exit_code, is_out_of_memory: replica.is_out_of_memory };
    state.exits.get(&replica.id).copied().unwrap_or(seen)
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
