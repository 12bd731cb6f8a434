//! Replicas that follow the load: measures what they use of their CPU request, and says how many there should be.
//!
//! The rule is that of Kubernetes (`domain::autoscale`). Where a process has no CPU request there is nothing to
//! compare with, and the number stays, as it does there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bollard::query_parameters::StatsOptionsBuilder;
use domain::ProcessType;
use domain::autoscale::{AutoscaleBounds, History, MeasuredLoad};
use domain::deployment::Replicas;
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use tokio::time::{sleep, timeout};

use super::Inner;
use super::tasks::{AppHandle, AppState};

/// As often as Kubernetes looks.
const MEASURE_EVERY: Duration = Duration::from_secs(15);
/// Longest wait for the figures of one container.
const FIGURES_MAX: Duration = Duration::from_secs(10);

/// Number of replicas of a process that follows the load.
#[derive(Debug, Clone)]
pub struct ScaleState {
    pub replicas: u32,
    history: History,
}

/// CPU time that a run of a container has used, and when it was asked.
struct Usage {
    nanoseconds: u64,
    at: Instant,
}

/// A process that follows the load, and its replicas that are ready: key of the run and container.
struct ScaledProcess {
    process: ProcessType,
    rule: AutoscaleBounds,
    cpu_request_millis: u64,
    replicas: Vec<(String, String)>,
}

/// Measures until the engine ends.
pub async fn run(inner: Arc<Inner>) {
    let begun = Instant::now();
    let mut usages = BTreeMap::new();
    loop {
        sleep(MEASURE_EVERY).await;
        let apps: Vec<_> = inner.apps().values().cloned().collect();
        let mut seen = BTreeSet::new();
        for app in apps {
            let ruled = ruled(&app.state());
            seen.extend(ruled.iter().flat_map(|ruled| ruled.replicas.iter().map(|(key, _)| key.clone())));
            for ruled in ruled {
                if let Some(used_percent) = measure(&inner, &ruled, &mut usages).await {
                    scale(&app, &ruled, used_percent, begun.elapsed().as_secs());
                }
            }
        }
        usages.retain(|key, _| seen.contains(key));
    }
}

/// The rule of a number that is not fixed.
pub fn rule(replicas: Replicas) -> Option<AutoscaleBounds> {
    let Replicas::Auto { min, max, cpu_percent } = replicas else { return None };
    // Without a running replica there is no load to measure.
    Some(AutoscaleBounds { min: min.max(1), max: max.max(min).max(1), cpu_percent })
}

/// A process begins with what runs: neither a new rule nor a restart of the platform takes replicas away.
pub fn begin(state: &mut AppState) {
    let AppState { desired, replicas, scaled, retiring, .. } = state;
    let is_ruled = |process: &ProcessType| {
        let wanted = desired.workloads.get(process).and_then(|desired| desired.wanted.as_ref());
        wanted.is_some_and(|wanted| rule(wanted.replicas).is_some())
    };
    scaled.retain(|process, _| is_ruled(process));
    for process in desired.workloads.keys().filter(|process| is_ruled(process)) {
        let staying = replicas.iter().filter(|r| r.process == *process && !retiring.contains(&r.id));
        let mut by_release = BTreeMap::<u64, u32>::new();
        staying.for_each(|replica| *by_release.entry(replica.release).or_default() += 1);
        let replicas = by_release.into_values().max().unwrap_or_default();
        let begin = || ScaleState { replicas, history: History::default() };
        scaled.entry(process.clone()).or_insert_with(begin);
    }
}

fn ruled(state: &AppState) -> Vec<ScaledProcess> {
    let ruled = state.desired.workloads.iter().filter_map(|(process, desired)| {
        // In the middle of a rollout the figures are those of two releases.
        let wanted = desired.wanted.as_ref().filter(|_| desired.is_settled)?;
        let ready = state.ready().filter(|replica| replica.process == *process);
        Some(ScaledProcess {
            process: process.clone(),
            rule: rule(wanted.replicas)?,
            cpu_request_millis: wanted.limits.cpu_request_millis.filter(|request| *request > 0)?,
            replicas: ready.map(|replica| (replica.key.clone(), replica.id.clone())).collect(),
        })
    });
    ruled.collect()
}

/// Percent of the request that replicas used on average since they were asked before; `None` where none was.
async fn measure(inner: &Inner, ruled: &ScaledProcess, usages: &mut BTreeMap<String, Usage>) -> Option<u32> {
    let asked = ruled.replicas.iter().map(|(key, id)| async move { (key, usage(inner, id).await) });
    let mut percents = Vec::new();
    for (key, now) in join_all(asked).await {
        let Some(now) = now else { continue };
        if let Some(before) = usages.get(key) {
            percents.push(percent(before, &now, ruled.cpu_request_millis));
        }
        usages.insert(key.clone(), now);
    }
    let count = u64::try_from(percents.len()).ok().filter(|count| *count > 0)?;
    u32::try_from(percents.iter().sum::<u64>() / count).ok()
}

fn percent(before: &Usage, now: &Usage, cpu_request_millis: u64) -> u64 {
    let used = u128::from(now.nanoseconds.saturating_sub(before.nanoseconds));
    let elapsed = now.at.duration_since(before.at).as_nanos().max(1);
    u64::try_from(used * 1000 * 100 / elapsed / u128::from(cpu_request_millis)).unwrap_or(u64::MAX)
}

/// A container that went away in the meantime has no figures.
async fn usage(inner: &Inner, id: &str) -> Option<Usage> {
    let options = StatsOptionsBuilder::new().stream(false).one_shot(true).build();
    let mut stats = inner.client.stats(id, Some(options));
    let figures = timeout(FIGURES_MAX, stats.next()).await.ok()??.ok()?;
    Some(Usage { nanoseconds: figures.cpu_stats?.cpu_usage?.total_usage?, at: Instant::now() })
}

fn scale(app: &AppHandle, ruled: &ScaledProcess, used_percent: u32, now_seconds: u64) {
    let mut state = app.state();
    let Some(scaled) = state.scaled.get_mut(&ruled.process) else { return };
    let load = MeasuredLoad { replicas: scaled.replicas, used_percent };
    let replicas = scaled.history.next(ruled.rule, load, now_seconds);
    if replicas != scaled.replicas {
        tracing::info!(
            app = %app.name, process = %ruled.process, from = scaled.replicas, to = replicas, used_percent,
            "the number of replicas follows the load"
        );
        scaled.replicas = replicas;
        drop(state);
        app.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_counts_in_percent_of_the_request() {
        let begun = Instant::now();
        let before = Usage { nanoseconds: 1_000_000_000, at: begun };
        let now = Usage { nanoseconds: 2_500_000_000, at: begun + Duration::from_secs(15) };

        assert_eq!(percent(&before, &now, 100), 100);
        assert_eq!(percent(&before, &now, 500), 20);
        assert_eq!(percent(&now, &now, 500), 0);
    }
}
