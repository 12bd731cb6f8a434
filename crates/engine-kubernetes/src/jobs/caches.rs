//! Bounds of the build caches of all apps in the registry, enforced after each build, however it ended.
//!
//! One task at a time asks the registry for the sizes that it does not know, and removes the caches that were not
//! used for the longest time. A failure is a warning: the next build tries again.

mod memo;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use domain::AppName;
use domain::build::BuildJob;
use domain::registry_access::cache_repository;
use futures_util::{StreamExt as _, stream};

use self::memo::{AppMoment, CacheMemo, CacheSizes, SurplusCache, Tag};
use super::KubernetesJobs;
use engine::build_steps::{CACHE_TAGS, cache_tag};
use oci::{Access, Manifest, OciError, Repository};

/// Apps or caches that the registry is asked about at the same time.
const AT_ONCE_MAX: usize = 8;
/// Longest time for measuring, and again for removing; the rest is done after the next build.
const PART_TIMEOUT: Duration = Duration::from_secs(120);

/// State that the handles of this process share.
#[derive(Default)]
pub struct SharedCaches {
    memo: Mutex<CacheMemo>,
    /// True while a task waits for its turn: it also sees builds that end meanwhile.
    is_due: AtomicBool,
    /// Held by the one task that measures and removes.
    turn: tokio::sync::Mutex<()>,
}

impl SharedCaches {
    fn memo(&self) -> MutexGuard<'_, CacheMemo> {
        self.memo.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A build's use of its app's cache. The bounds are enforced when it is dropped.
pub struct CacheUse {
    jobs: KubernetesJobs,
    app: AppName,
    tag: Tag,
}

impl CacheUse {
    pub fn new(jobs: &KubernetesJobs, job: &BuildJob) -> Self {
        jobs.caches.memo().begin(&job.app);
        Self { jobs: jobs.clone(), app: job.app.clone(), tag: cache_tag(job.kind) }
    }
}

impl Drop for CacheUse {
    fn drop(&mut self) {
        let caches = &self.jobs.caches;
        caches.memo().end(&self.app, self.tag, Instant::now());
        // Without a runtime the process is ending; the next one asks the registry about all caches.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if !caches.is_due.swap(true, Ordering::AcqRel) {
            runtime.spawn(enforce(self.jobs.clone()));
        }
    }
}

/// Measures the caches that are not known, and removes the surplus.
async fn enforce(jobs: KubernetesJobs) {
    let _turn = jobs.caches.turn.lock().await;
    jobs.caches.is_due.store(false, Ordering::Release);
    let existing = existing_apps(&jobs).await;
    let unmeasured = jobs.caches.memo().unmeasured(existing.as_ref());
    let measurements = unmeasured.into_iter().map(|moment| measure(&jobs, moment)).collect();
    run_all("cannot measure all build caches", PART_TIMEOUT, measurements).await;
    let surplus = jobs.caches.memo().surplus(&jobs.settings.build_caches, Instant::now());
    let removals = surplus.into_iter().map(|cache| remove(&jobs, cache)).collect();
    run_all("cannot remove all build caches that are beyond their bound", PART_TIMEOUT, removals).await;
}

/// Apps that have a namespace; `None` where Kubernetes does not list them, after a warning.
async fn existing_apps(jobs: &KubernetesJobs) -> Option<BTreeSet<AppName>> {
    match tokio::time::timeout(PART_TIMEOUT, jobs.spaces.apps()).await {
        Ok(Ok(apps)) => return Some(apps.into_iter().collect()),
        Ok(Err(error)) => {
            tracing::warn!(%error, "cannot list the apps' namespaces; build caches of earlier processes do not count");
        }
        Err(_) => tracing::warn!("Kubernetes does not list the apps' namespaces in time"),
    }
    None
}

/// Runs requests, some at the same time, and logs once if not all succeed in time.
async fn run_all(
    problem: &str,
    timeout: Duration,
    requests: Vec<impl Future<Output = Result<(), OciError>>>,
) {
    let count = requests.len();
    let mut answers = stream::iter(requests).buffer_unordered(AT_ONCE_MAX);
    let deadline = tokio::time::Instant::now() + timeout;
    let (mut done, mut failure) = (0, None);
    while let Ok(Some(answer)) = tokio::time::timeout_at(deadline, answers.next()).await {
        match answer {
            Ok(()) => done += 1,
            Err(error) => failure = Some(error),
        }
    }
    if done < count {
        let late = || format!("not done after {} s", timeout.as_secs());
        let reason = failure.map_or_else(late, |error| error.to_string());
        tracing::warn!(open = count - done, reason, "{problem}; trying again after the next build");
    }
}

async fn measure(jobs: &KubernetesJobs, moment: AppMoment) -> Result<(), OciError> {
    let sizes = sizes(&cache_of(jobs, &moment.app, Access::Pull)).await?;
    jobs.caches.memo().record(&moment, sizes);
    Ok(())
}

/// Some registries deny access to a repository that does not exist: nothing is there that could be removed.
async fn sizes(repository: &Repository) -> Result<CacheSizes, OciError> {
    let mut sizes = CacheSizes::new();
    for tag in CACHE_TAGS {
        match repository.find_manifest(tag).await {
            Ok(Some(manifest)) => {
                sizes.insert(tag, layer_bytes(&manifest));
            }
            Ok(None) | Err(OciError::Denied { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(sizes)
}

fn layer_bytes(manifest: &Manifest) -> u64 {
    manifest.content.layers.iter().map(|layer| layer.size_bytes).fold(0, u64::saturating_add)
}

/// Removes a cache, unless a build of its app has begun since it was chosen.
async fn remove(jobs: &KubernetesJobs, cache: SurplusCache) -> Result<(), OciError> {
    let app = &cache.moment.app;
    if !jobs.caches.memo().is_unchanged(&cache.moment) {
        return Ok(());
    }
    cache_of(jobs, app, Access::Delete).remove_tagged(cache.tag).await?;
    jobs.caches.memo().removed(&cache);
    tracing::info!(%app, tag = cache.tag, "removed a build cache that was beyond its bound");
    Ok(())
}

/// Removes all caches of an app.
pub async fn remove_all(jobs: &KubernetesJobs, app: &AppName) -> Result<(), OciError> {
    let repository = cache_of(jobs, app, Access::Delete);
    for tag in CACHE_TAGS {
        repository.remove_tagged(tag).await?;
    }
    Ok(())
}

fn cache_of(jobs: &KubernetesJobs, app: &AppName, access: Access) -> Repository {
    jobs.settings.registry.repository(&jobs.transport, &cache_repository(app), access)
}

#[cfg(test)]
mod tests;
