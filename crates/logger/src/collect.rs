//! Takes lines from the engine and has them written in batches.
//!
//! Without an engine to follow, as in a cluster, lines arrive over HTTP (`http`), which writes them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::logs::LogLine;
use engine::Logs;
use futures_util::StreamExt as _;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

use crate::store::LineStore;

/// Longest time that a line is in memory only; a crash loses no more, and those are asked for again.
const FLUSH_INTERVAL: Duration = Duration::from_millis(500);
/// Bytes in memory, of all apps together, that are written at once.
const PENDING_BYTES_MAX: usize = 4 << 20;
/// Pause before following again where the engine ended the stream.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// A store that the collector and the requests share; held for short file work only.
pub(crate) type SharedStore = Arc<Mutex<LineStore>>;

pub(crate) fn lock(store: &Mutex<LineStore>) -> MutexGuard<'_, LineStore> {
    store.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Follows until shutdown. Each time it begins where the store ends.
pub(crate) async fn run(
    store: SharedStore,
    logs: Option<Arc<dyn Logs>>,
    mut shutdown: watch::Receiver<bool>,
) {
    let Some(logs) = logs else {
        // A closed channel means that the sender of the stop signal is gone.
        let _ = shutdown.wait_for(|stop| *stop).await;
        return flush(&store).await;
    };
    loop {
        let ended = tokio::select! {
            () = follow(&store, &*logs) => false,
            _ = shutdown.wait_for(|stop| *stop) => true,
        };
        flush(&store).await;
        if ended {
            return;
        }
        tracing::warn!("the engine ended the stream of lines; following again");
        tokio::select! {
            () = tokio::time::sleep(RETRY_PAUSE) => {}
            _ = shutdown.wait_for(|stop| *stop) => return,
        }
    }
}

async fn follow(store: &SharedStore, logs: &dyn Logs) {
    let since = lock(store).last_times();
    let mut lines = logs.follow(since);
    let mut ticks = tokio::time::interval_at(Instant::now() + FLUSH_INTERVAL, FLUSH_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            line = lines.next() => match line {
                Some(line) => take(store, line).await,
                None => return,
            },
            _ = ticks.tick() => flush(store).await,
        }
    }
}

async fn take(store: &SharedStore, line: LogLine) {
    let pending_bytes = lock(store).add(line);
    if pending_bytes > PENDING_BYTES_MAX {
        flush(store).await;
    }
}

/// Writes on a thread where waiting for a disk holds up nobody.
pub(crate) async fn flush(store: &SharedStore) {
    let store = Arc::clone(store);
    let _ = tokio::task::spawn_blocking(move || lock(&store).flush()).await;
}
