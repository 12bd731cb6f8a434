//! Disk: what containers write beside their volumes is measured and bounded.
//!
//! Storage drivers seldom bound a container's writable layer (overlay2 on XFS with `pquota` alone does), so Docker is
//! asked for its size at times. A job that has written more is ended; a replica that has is replaced, as Kubernetes
//! evicts a pod for its ephemeral storage. Between two measurements more can be written.

use std::sync::Arc;
use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error;
use bollard::query_parameters::InspectContainerOptionsBuilder;
use domain::logs::{LogLine, LogSource};
use jiff::Timestamp;
use tokio::time::sleep;

use super::Inner;
use super::app::AppHandle;
use super::jobs::{self, message, status};

/// Docker walks the whole layer to answer, so replicas are asked seldom and one after another.
pub const REPLICAS_EVERY: Duration = Duration::from_secs(5 * 60);
const JOBS_EVERY: Duration = Duration::from_secs(10);
/// The first look at a job comes sooner: what fills a disk in seconds is ended in seconds.
const JOBS_FIRST: Duration = Duration::from_secs(2);

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
    for (id, name) in running {
        match written_bytes(&inner.client, &id).await {
            Ok(bytes) if bytes > bytes_max => {
                inner.lines.write(line(app, &name, bytes_max));
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
        source: LogSource::Platform { component: "controller".to_owned(), level: "WARN".to_owned() },
        text: format!(
            "{pod} wrote more than {size} to its disk and is replaced; what it keeps belongs elsewhere"
        ),
    }
}

/// Ends when the container has written more than its bound; never without one.
pub async fn exceeded(docker: &Docker, container: &str, bytes_max: Option<u64>) -> String {
    let Some(bytes_max) = bytes_max else { return std::future::pending().await };
    let mut pause = JOBS_FIRST;
    loop {
        sleep(pause).await;
        pause = (pause * 2).min(JOBS_EVERY);
        match written_bytes(docker, container).await {
            Ok(bytes) if bytes > bytes_max => {
                return format!("it wrote more than its bound of {} to disk", jobs::size(bytes_max));
            }
            Ok(_) => {}
            Err(error) => tracing::debug!(container, error = message(&error), "cannot measure a job's disk"),
        }
    }
}

/// Bytes that the container has written over its image; 0 for one that is gone.
async fn written_bytes(docker: &Docker, container: &str) -> Result<u64, Error> {
    let options = InspectContainerOptionsBuilder::default().size(true).build();
    match docker.inspect_container(container, Some(options)).await {
        Ok(found) => Ok(found.size_rw.unwrap_or(0).max(0).unsigned_abs()),
        Err(error) if status(&error) == Some(404) => Ok(0),
        Err(error) => Err(error),
    }
}
