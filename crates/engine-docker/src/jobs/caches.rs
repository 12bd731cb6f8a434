//! Disk use of builds: a limit while one runs, and limits of the caches kept for the next one.
//!
//! Docker's volumes have no quota, so sizes are measured: every few seconds during a build, and after each,
//! however it ended. A build may write beyond its bound for as long as one pause and one measurement.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use backon::{ConstantBuilder, Retryable as _};
use bollard::errors::Error;
use bollard::query_parameters::ListVolumesOptionsBuilder;
use domain::AppName;
use domain::build::BuildJob;
use domain::build_caches::{BuildCache, surplus};
use tokio::sync::Mutex;

use super::DockerHost;
use super::container::JobContainer;
use super::docker_host::remove_volume;
use super::failure::{self, job_error};
use super::volume_size::volume_bytes;
use crate::Inner;
use crate::names::INSTANCE_LABEL;
use engine::JobError;

/// Pauses between two measurements; slow ones have longer pauses.
const PAUSE_MIN: Duration = Duration::from_secs(5);
const PAUSE_MAX: Duration = Duration::from_secs(20);
/// Factor of the pause after a measurement to its duration.
const PAUSE_FACTOR: u32 = 4;
/// Pauses between attempts to remove a volume that a container of the build may still hold.
const REMOVAL_RETRIES: ConstantBuilder =
    ConstantBuilder::new().with_delay(Duration::from_secs(1)).with_max_times(9);

/// Caches by their volumes' names, as far as this process knows them.
pub type CacheSizes = Mutex<BTreeMap<String, CacheSize>>;

/// A cache when it was last looked at.
#[derive(Debug, Clone, Copy)]
pub struct CacheSize {
    size_bytes: u64,
    used: Instant,
}

/// Removes what earlier builds kept, where the job keeps no cache.
pub async fn remove_unless_kept(
    place: &DockerHost<'_>,
    job: &BuildJob,
    volume: &str,
) -> Result<(), JobError> {
    if job.cache {
        return Ok(());
    }
    remove_volume(place.docker, volume).await.map_err(|error| job_error("remove the build cache", error))
}

/// A build's use of its cache: when it ends, however that is, the bounds of caches are kept.
pub struct CacheUse {
    inner: Arc<Inner>,
    app: AppName,
    volume: String,
    /// The image whose `du` measures.
    image: String,
    is_settled: bool,
}

impl CacheUse {
    pub fn new(inner: &Arc<Inner>, app: &AppName, volume: String, image: &str) -> Self {
        Self {
            inner: Arc::clone(inner),
            app: app.clone(),
            volume,
            image: image.to_owned(),
            is_settled: false,
        }
    }

    /// Ends the use as the job wants it: measures the cache unless that was done, or removes it. A failure of this costs
    /// disk, not the build.
    pub async fn end(mut self, place: &DockerHost<'_>, job: &BuildJob, measured: Option<u64>) {
        if job.cache {
            return self.settle(measured).await;
        }
        self.is_settled = true;
        if let Err(error) = remove_volume(place.docker, &self.volume).await {
            tracing::warn!(app = %job.app, error = failure::message(&error), "cannot remove the build's layers");
        }
    }

    /// Ends the use with what was measured, or measures now.
    pub async fn settle(mut self, measured: Option<u64>) {
        self.is_settled = true;
        let part = CacheTask { inner: Arc::clone(&self.inner), image: self.image.clone() };
        part.settle(&self.app, &self.volume, measured).await;
    }
}

impl Drop for CacheUse {
    fn drop(&mut self) {
        if self.is_settled {
            return;
        }
        let part = CacheTask { inner: Arc::clone(&self.inner), image: self.image.clone() };
        let (app, volume) = (self.app.clone(), self.volume.clone());
        // Without a runtime the process is ending; the next use of the cache measures it.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move { part.settle(&app, &volume, None).await });
    }
}

/// Dependencies of the task that enforces the limits.
struct CacheTask {
    inner: Arc<Inner>,
    image: String,
}

impl CacheTask {
    async fn settle(self, app: &AppName, volume: &str, measured: Option<u64>) {
        let place = DockerHost { docker: &self.inner.client, settings: &self.inner.settings };
        let kept = async {
            let size_bytes = match measured {
                Some(size_bytes) => size_bytes,
                None => volume_bytes(&place, &self.image, &[volume]).await?,
            };
            let measured = CacheSize { size_bytes, used: Instant::now() };
            self.inner.caches.lock().await.insert(volume.to_owned(), measured);
            self.surplus(&place).await
        };
        match kept.await {
            Ok(surplus) if surplus.is_empty() => {}
            Ok(surplus) => drop(tokio::spawn(self.remove(surplus))),
            Err(error) => {
                tracing::warn!(%app, error = failure::message(&error), "cannot measure a build cache");
            }
        }
    }

    /// Names of the volumes that are beyond a bound.
    async fn surplus(&self, place: &DockerHost<'_>) -> Result<Vec<String>, Error> {
        let volumes = volumes(place).await?;
        let mut known = self.inner.caches.lock().await;
        known.retain(|volume, _| volumes.contains(volume));
        for volume in volumes {
            if let Entry::Vacant(unknown) = known.entry(volume) {
                let size_bytes = volume_bytes(place, &self.image, &[unknown.key()]).await?;
                // Of another process: older than all that this one has used.
                unknown.insert(CacheSize { size_bytes, used: self.inner.started });
            }
        }
        let caches: Vec<_> = known
            .iter()
            .map(|(name, CacheSize { size_bytes, used })| BuildCache {
                name: name.clone(),
                size_bytes: *size_bytes,
                unused: used.elapsed(),
            })
            .collect();
        Ok(surplus(caches, &place.settings.build_caches))
    }

    /// Removes them; one that a build uses stays, and is looked at again when that build has ended.
    async fn remove(self, volumes: Vec<String>) {
        let docker = &self.inner.client;
        for volume in volumes {
            let remove = || remove_volume(docker, &volume);
            let is_held = |error: &Error| failure::status(error) == Some(409);
            match remove.retry(REMOVAL_RETRIES).when(is_held).await {
                Ok(()) => {
                    self.inner.caches.lock().await.remove(&volume);
                    tracing::info!(volume, "removed a build cache that was beyond its bound");
                }
                Err(error) => {
                    let error = failure::message(&error);
                    tracing::debug!(volume, error, "a build cache beyond its bound stays for now");
                }
            }
        }
    }
}

/// The caches of all apps of this platform.
async fn volumes(place: &DockerHost<'_>) -> Result<Vec<String>, Error> {
    let label = format!("{INSTANCE_LABEL}={}", place.settings.instance);
    let filters = HashMap::from([("label", vec![label])]);
    let options = ListVolumesOptionsBuilder::default().filters(&filters).build();
    let listed = place.docker.list_volumes(Some(options)).await?.volumes.unwrap_or_default();
    let prefixes = ["cache", "cnb", "layers"].map(|kind| format!("{}-{kind}-", place.namespace()));
    let names = listed.into_iter().map(|volume| volume.name);
    Ok(names.filter(|name| prefixes.iter().any(|prefix| name.starts_with(prefix))).collect())
}

/// Ends with the reason as soon as a build uses more disk than it may; never before.
pub async fn beyond_bound(
    place: &DockerHost<'_>,
    container: &JobContainer,
    volumes: &[&str],
    image: &str,
) -> JobError {
    let bound = place.settings.build_disk_bytes;
    let mut pause = PAUSE_MIN;
    loop {
        tokio::time::sleep(pause).await;
        let begun = Instant::now();
        match build_bytes(place, container, volumes, image).await {
            Ok(bytes) if bytes > bound => break,
            Ok(_) => {}
            // The build's own requests report failures of Docker.
            Err(error) => tracing::debug!(error = failure::message(&error), "cannot measure a build"),
        }
        pause = (begun.elapsed() * PAUSE_FACTOR).clamp(PAUSE_MIN, PAUSE_MAX);
    }
    let bound = failure::size(bound);
    let reason = format!(
        "the build needed more than its bound of {bound} of disk, its cache included; build less, push with \
         the cache turned off (deis config:set DEIS_DISABLE_CACHE=1), or have the platform's operator raise \
         the bound"
    );
    JobError::Refused { reason }
}

async fn build_bytes(
    place: &DockerHost<'_>,
    container: &JobContainer,
    volumes: &[&str],
    image: &str,
) -> Result<u64, Error> {
    let written = container.written_bytes().await?;
    let cached = volume_bytes(place, image, volumes).await?;
    Ok(written.saturating_add(cached))
}
