//! Takes the lines of one machine, those of its engine and those of the platform, and has them written in batches.
//!
//! In a cluster lines arrive over HTTP (`http`), which has them written at once.

use std::sync::Arc;
use std::time::Duration;

use domain::logs::LogLine;
use engine::LogSource;
use engine::log_queue::LogQueue;
use futures_util::StreamExt as _;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};

use crate::store::{SharedStore, lock};

/// Longest time that a line is in memory only. A crash loses no more; those of processes are asked for again.
const FLUSH_INTERVAL: Duration = Duration::from_millis(500);
/// Bytes in memory, of all apps together, that are written at once.
const PENDING_BYTES_MAX: usize = 4 << 20;
/// Pause before following again where the engine ended the stream.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Lines that come from the same process as the logger.
pub struct LocalLines {
    /// Lines of the apps' processes.
    pub source: Arc<dyn LogSource>,
    /// Lines of the platform; this logger is their only reader.
    pub platform: Arc<LogQueue>,
}

/// Ingests until shutdown; what was taken is then on disk.
pub(crate) async fn run(store: SharedStore, local: Option<LocalLines>, mut shutdown: watch::Receiver<bool>) {
    // A closed channel means that the sender of the stop signal is gone.
    let stopped = async { drop(shutdown.wait_for(|stop| *stop).await) };
    let Some(LocalLines { source, platform }) = local else { return stopped.await };
    tokio::select! {
        // First of all: it begins where the store ends, before the platform adds lines.
        biased;
        () = stopped => {}
        () = follow(&store, &*source) => {}
        () = take(&store, &platform) => {}
        () = flush_at_times(&store) => {}
    }
    for line in std::iter::from_fn(|| platform.pop()).take(platform.len()) {
        lock(&store).add(line);
    }
    flush(&store).await;
}

/// Follows the engine without end. Each time it begins where the store ends.
async fn follow(store: &SharedStore, source: &dyn LogSource) {
    loop {
        let since = lock(store).last_times();
        let mut lines = source.follow(since);
        while let Some(line) = lines.next().await {
            add(store, line).await;
        }
        tracing::warn!("the engine ended the stream of lines; following again");
        sleep(RETRY_PAUSE).await;
    }
}

async fn take(store: &SharedStore, lines: &LogQueue) {
    loop {
        add(store, lines.next().await).await;
    }
}

async fn flush_at_times(store: &SharedStore) {
    let mut ticks = interval_at(Instant::now() + FLUSH_INTERVAL, FLUSH_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        flush(store).await;
    }
}

async fn add(store: &SharedStore, line: LogLine) {
    let pending_bytes = lock(store).add(line);
    if pending_bytes > PENDING_BYTES_MAX {
        flush(store).await;
    }
}

/// Writes on a thread where waiting for a disk holds up nobody.
async fn flush(store: &SharedStore) {
    let store = Arc::clone(store);
    let _ = tokio::task::spawn_blocking(move || lock(&store).flush()).await;
}
