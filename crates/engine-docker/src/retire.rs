//! Retirement of a replica: drained, its stop hook, TERM, KILL after the grace period, removed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bollard::query_parameters::StopContainerOptionsBuilder;
use tokio::time::{sleep, timeout};

use super::jobs::{message, status};
use super::replicas::Replica;
use super::tasks::AppHandle;
use super::{Inner, container, probe};
use domain::shell::shell;
use engine::EngineError;
use engine::rollout::back_off;

/// Takes a replica out of service and removes it; tries until Docker has done it. Nothing is lost when the
/// process ends in between: the next one finds a replica too many.
pub async fn retire(inner: Arc<Inner>, app: Arc<AppHandle>, replica: Replica, drain_version: Option<u64>) {
    if let Some(version) = drain_version {
        inner.routes.drain(&replica.key, version).await;
    }
    let mut back_off = back_off::RECONCILE;
    while let Err(error) = stop_and_remove(&inner, &replica).await {
        tracing::warn!(pod = replica.name, error = &error as &dyn std::error::Error, "cannot stop a replica");
        sleep(back_off.pause()).await;
    }
    app.wake();
}

async fn stop_and_remove(inner: &Inner, replica: &Replica) -> Result<(), EngineError> {
    let hook_seconds = match &replica.pre_stop {
        Some(hook) if replica.is_running() => pre_stop(inner, replica, hook).await,
        _ => 0,
    };
    // The grace period covers the hook too, as on Kubernetes.
    let grace = replica.grace_seconds.saturating_sub(hook_seconds).max(0);
    let options = StopContainerOptionsBuilder::default().t(i32::try_from(grace).unwrap_or(i32::MAX)).build();
    match inner.with_timeout(grace).stop_container(&replica.id, Some(options)).await {
        // 304: stopped already; 404: gone.
        Err(error) if !matches!(status(&error), Some(304 | 404)) => {
            return Err(inner.failed("stop a container", error));
        }
        _ => {}
    }
    container::remove(inner, &replica.id).await
}

/// Runs the hook within the grace period and returns the seconds that it took.
async fn pre_stop(inner: &Inner, replica: &Replica, hook: &str) -> i64 {
    let begun = Instant::now();
    let bound = Duration::from_secs(replica.grace_seconds.max(0).unsigned_abs());
    let run = probe::exec(&inner.client, &replica.id, shell(hook));
    match timeout(bound, run).await {
        Ok(Ok(0)) => {}
        Ok(Ok(code)) => tracing::info!(pod = replica.name, code, "a preStop hook failed"),
        Ok(Err(error)) => {
            tracing::info!(pod = replica.name, error = message(&error), "a preStop hook failed");
        }
        Err(_) => tracing::info!(pod = replica.name, "a preStop hook did not end in time"),
    }
    i64::try_from(begun.elapsed().as_secs()).unwrap_or(i64::MAX)
}
