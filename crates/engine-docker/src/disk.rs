//! Disk: what containers write to their layer and to the volumes of their image is measured and bounded.
//!
//! Storage drivers seldom bound a container's writable layer (overlay2 on XFS with `pquota` alone does) and volumes, so
//! both are measured at times. A job that has written more is ended; a replica that has is replaced, as Kubernetes
//! evicts a pod for its ephemeral storage. Between two measurements more can be written.

use std::sync::Arc;
use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error;
use bollard::models::MountPoint;
use bollard::query_parameters::InspectContainerOptionsBuilder;
use domain::logs::{LogLine, LogOrigin};
use jiff::Timestamp;
use tokio::time::sleep;

use super::jobs::{self, DockerHost, message, remove_volume, status, volume_bytes};
use super::tasks::AppHandle;
use super::{DockerSettings, Inner};

/// Docker walks the whole layer to answer, so replicas are asked seldom and one after another.
pub const REPLICAS_EVERY: Duration = Duration::from_secs(5 * 60);
const JOBS_EVERY: Duration = Duration::from_secs(10);
/// The first look at a job comes sooner: what fills a disk in seconds is ended in seconds.
const JOBS_FIRST: Duration = Duration::from_secs(2);
const VOLUME: &str = "volume";
/// Length of the names that Docker gives to volumes without one: those that an image declares (`VOLUME`).
const ANONYMOUS_LENGTH: usize = 64;

/// Measures replicas until the engine ends.
pub(super) async fn run(inner: Arc<Inner>) {
    let Some(bytes_max) = inner.settings.replica_disk_bytes else { return };
    loop {
        sleep(inner.settings.replica_disk_every).await;
        let apps: Vec<_> = inner.apps().values().cloned().collect();
        for app in apps {
            pass(&inner, &app, bytes_max).await;
        }
    }
}

/// Condemns the replicas of an app that have written too much.
async fn pass(inner: &Inner, app: &AppHandle, bytes_max: u64) {
    let running: Vec<_> = {
        let state = app.state();
        let staying =
            state.replicas.iter().filter(|replica| replica.is_running() && !state.is_retiring(replica));
        staying.map(|replica| (replica.id.clone(), replica.name.clone())).collect()
    };
    let place = DockerHost { docker: &inner.client, settings: &inner.settings };
    for (id, name) in running {
        match written_bytes(&place, &id).await {
            Ok(bytes) if bytes > bytes_max => {
                inner.log_sink.write(line(app, &name, bytes_max));
                app.state().condemned.insert(id);
                app.wake();
            }
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(pod = name, error = message(&error), "cannot measure a replica's disk");
            }
        }
    }
}

fn line(app: &AppHandle, pod: &str, bytes_max: u64) -> LogLine {
    let size = jobs::size(bytes_max);
    LogLine {
        time: Timestamp::now(),
        app: app.name.clone(),
        origin: LogOrigin::Platform { component: "controller".to_owned(), level: "WARN".to_owned() },
        text: format!(
            "{pod} wrote more than {size} to its disk and is replaced; what it keeps belongs elsewhere"
        ),
    }
}

/// Ends when the container has written more than its bound; never without one.
pub async fn exceeded(place: &DockerHost<'_>, container: &str) -> String {
    let Some(bytes_max) = place.settings.replica_disk_bytes else { return std::future::pending().await };
    let mut pause = JOBS_FIRST;
    loop {
        sleep(pause).await;
        pause = (pause * 2).min(JOBS_EVERY);
        match written_bytes(place, container).await {
            Ok(bytes) if bytes > bytes_max => {
                return format!("it wrote more than its bound of {} to disk", jobs::size(bytes_max));
            }
            Ok(_) => {}
            Err(error) => tracing::debug!(container, error = message(&error), "cannot measure a job's disk"),
        }
    }
}

/// Bytes that the container has written over its image and to its image's volumes; 0 for one that is gone.
async fn written_bytes(place: &DockerHost<'_>, container: &str) -> Result<u64, Error> {
    let options = InspectContainerOptionsBuilder::default().size(true).build();
    let found = match place.docker.inspect_container(container, Some(options)).await {
        Ok(found) => found,
        Err(error) if status(&error) == Some(404) => return Ok(0),
        Err(error) => return Err(error),
    };
    let layer = found.size_rw.unwrap_or(0).max(0).unsigned_abs();
    let volumes: Vec<_> = found.mounts.unwrap_or_default().into_iter().filter_map(anonymous_volume).collect();
    if volumes.is_empty() {
        return Ok(layer);
    }
    // A task of its own: it removes what it leaves also if nobody waits for the result.
    let measuring =
        measure_volumes(place.docker.clone(), place.settings.clone(), container.to_owned(), volumes);
    let measured = tokio::spawn(measuring).await;
    let measured = measured.map_err(|error| Error::IOError { err: std::io::Error::other(error) })?;
    Ok(layer.saturating_add(measured?))
}

async fn measure_volumes(
    docker: Docker,
    settings: DockerSettings,
    container: String,
    volumes: Vec<String>,
) -> Result<u64, Error> {
    let place = DockerHost { docker: &docker, settings: &settings };
    let volumes: Vec<_> = volumes.iter().map(String::as_str).collect();
    let measured = volume_bytes(&place, settings.stacks.default_run_image(), &volumes).await;
    remove_orphans(&place, &container, &volumes).await?;
    measured
}

fn anonymous_volume(mount: MountPoint) -> Option<String> {
    let name = mount.name.filter(|_| mount.typ.as_deref() == Some(VOLUME))?;
    let is_anonymous = name.len() == ANONYMOUS_LENGTH && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_anonymous.then_some(name)
}

/// Removes the volumes of a container that is gone: Docker leaves them if they were being measured at its end.
async fn remove_orphans(place: &DockerHost<'_>, container: &str, volumes: &[&str]) -> Result<(), Error> {
    match place.docker.inspect_container(container, None).await {
        Err(error) if status(&error) == Some(404) => {}
        other => return other.map(drop),
    }
    for volume in volumes {
        remove_volume(place.docker, volume).await?;
    }
    Ok(())
}
