//! Removes blobs of deleted images: Distribution keeps them, and its `garbage-collect` must not run beside a
//! write, whose blobs it would remove as unused.
//!
//! So it runs after a time without writes, and writes during a run wait for its end. Reads continue. Two
//! registries on one store cannot know of each other's writes: only one with a volume of its own collects.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;
use tokio::sync::{RwLock, RwLockReadGuard};
use tokio::time::{Instant, interval_at, sleep, timeout};
use tokio_util::sync::CancellationToken;

/// When unused blobs are collected.
#[derive(Debug, Clone, Copy)]
pub struct CollectSettings {
    /// From one time to the next.
    pub every: Duration,
    /// Time without writes before it begins: an image is written blob by blob, and named last.
    pub quiet: Duration,
}

/// Longest time of one collection; one that is killed resumes the next time.
const COLLECT_MAX: Duration = Duration::from_secs(90);
/// Longest time that a write is held.
const HELD_MAX: Duration = Duration::from_secs(120);
/// Longest wait for writes under way.
const CLOSE_MAX: Duration = Duration::from_secs(10);

/// Through which all writes go.
pub struct WriteGate {
    writes: RwLock<()>,
    last_write: Mutex<Instant>,
}

impl WriteGate {
    pub fn new() -> Self {
        Self { writes: RwLock::default(), last_write: Mutex::new(Instant::now()) }
    }

    /// Held while a write is under way; `None` if a collection takes too long.
    pub async fn write(&self) -> Option<RwLockReadGuard<'_, ()>> {
        self.write_within(HELD_MAX).await
    }

    async fn write_within(&self, held_max: Duration) -> Option<RwLockReadGuard<'_, ()>> {
        let write = timeout(held_max, self.writes.read()).await.ok()?;
        self.note();
        Some(write)
    }

    /// A write has ended just now.
    pub fn note(&self) {
        *self.last_write.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn quiet_for(&self) -> Duration {
        self.last_write.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }
}

/// Distribution's program and its config.
#[derive(Debug, Clone)]
pub struct DistributionCommand {
    pub program: PathBuf,
    pub config: PathBuf,
}

/// Collects again and again until `stop`.
pub async fn run(
    settings: CollectSettings,
    gate: Arc<WriteGate>,
    distribution: DistributionCommand,
    stop: CancellationToken,
) {
    stop.run_until_cancelled(async {
        let mut times = interval_at(Instant::now() + settings.every, settings.every);
        loop {
            times.tick().await;
            while gate.quiet_for() < settings.quiet {
                sleep(settings.quiet.saturating_sub(gate.quiet_for())).await;
            }
            let Ok(_closed) = timeout(CLOSE_MAX, gate.writes.write()).await else {
                tracing::warn!("unused images are not removed now: a write takes long");
                continue;
            };
            match timeout(COLLECT_MAX, collect(&distribution)).await {
                Ok(Ok(blobs)) => tracing::info!(blobs, "removed what no image uses any more"),
                Ok(Err(error)) => tracing::warn!(error, "cannot remove what no image uses any more"),
                Err(_) => tracing::warn!("removing unused images takes long, and goes on the next time"),
            }
        }
    })
    .await;
}

/// Removes unused blobs and returns their number.
async fn collect(distribution: &DistributionCommand) -> Result<usize, String> {
    let mut command = Command::new(&distribution.program);
    command.args(["garbage-collect", "--delete-untagged"]).arg(&distribution.config);
    command.env("OTEL_TRACES_EXPORTER", "none");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let stdout = child.stdout.take().ok_or("its output was not piped")?;
    let (mut lines, mut removed) = (BufReader::new(stdout).lines(), 0);
    while let Some(line) = lines.next_line().await.map_err(|error| error.to_string())? {
        removed += usize::from(line.starts_with("blob eligible for deletion"));
    }
    let status = child.wait().await.map_err(|error| error.to_string())?;
    if status.success() { Ok(removed) } else { Err(format!("the registry's program ended with {status}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_write_waits_for_a_collection_and_not_for_ever() {
        let gate = WriteGate::new();
        let closed = gate.writes.write().await;

        assert!(gate.write_within(Duration::from_millis(20)).await.is_none());
        drop(closed);
        let noted = gate.quiet_for();
        assert!(gate.write().await.is_some());
        assert!(gate.quiet_for() < noted, "a write is noted");
    }
}
