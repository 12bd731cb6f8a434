//! Lines of controller and builder about an app, sent to the logger of the cluster.
//!
//! Writing never waits: lines go into a bounded queue, from which the oldest fall while the logger is away.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::AppName;
use domain::logs::LogLine;
use engine::Logs;
use futures_util::{Stream, stream};
use jiff::Timestamp;
use tokio::sync::{Notify, watch};

use crate::LoggerClient;
use crate::client::LineBatch;

/// Lines that wait for the logger.
const WAITING_MAX: usize = 10_000;
/// Lines of one batch.
const BATCH_LINES_MAX: usize = 500;
/// First and longest pause before a batch is sent again.
const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_LONGEST: Duration = Duration::from_secs(5);
/// Longest time for the last lines at shutdown.
const GOODBYE_MAX: Duration = Duration::from_secs(3);

/// The end that takes lines. [`LogWriter::run`] sends them.
#[derive(Clone, Default)]
pub struct LogWriter {
    waiting: Arc<SharedQueue>,
}

#[derive(Default)]
struct SharedQueue {
    queue: Mutex<PendingLines>,
    added: Notify,
}

#[derive(Default)]
struct PendingLines {
    lines: VecDeque<LogLine>,
    /// Number of lines that have left the queue, sent or dropped; so a line keeps its number.
    gone: u64,
}

impl Logs for LogWriter {
    /// Nobody follows here: in a cluster lines are at the logger, and this end only writes.
    fn follow(&self, _: BTreeMap<AppName, Timestamp>) -> Pin<Box<dyn Stream<Item = LogLine> + Send>> {
        Box::pin(stream::pending())
    }

    fn write(&self, line: LogLine) {
        let mut queue = self.queue();
        if queue.lines.len() == WAITING_MAX {
            queue.lines.pop_front();
            queue.gone += 1;
        }
        queue.lines.push_back(line);
        drop(queue);
        self.waiting.added.notify_one();
    }
}

impl LogWriter {
    /// Sends lines until `shutdown` turns true or closes, then those still waiting, within a time limit.
    pub async fn run(self, client: LoggerClient, mut shutdown: watch::Receiver<bool>) {
        tokio::select! {
            () = self.send_all(&client) => {}
            _ = shutdown.wait_for(|stop| *stop) => {}
        }
        let _ = tokio::time::timeout(GOODBYE_MAX, self.send_waiting(&client)).await;
        let left = self.queue().lines.len();
        if left > 0 {
            tracing::warn!(left, "lines could not be sent to the logger before the end");
        }
    }

    async fn send_all(&self, client: &LoggerClient) {
        loop {
            self.send_waiting(client).await;
            self.waiting.added.notified().await;
        }
    }

    /// Sends until nothing waits. A batch stays in the queue until it has arrived.
    async fn send_waiting(&self, client: &LoggerClient) {
        let mut pause = RETRY_FIRST;
        let mut is_failing = false;
        loop {
            let (batch, end) = self.batch();
            if batch.is_empty() {
                return;
            }
            match client.send(&batch).await {
                Ok(()) => {
                    self.forget_until(end);
                    (pause, is_failing) = (RETRY_FIRST, false);
                }
                Err(error) => {
                    if !is_failing {
                        tracing::warn!(error = &error as &dyn std::error::Error, "lines wait for the logger");
                    }
                    is_failing = true;
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(RETRY_LONGEST);
                }
            }
        }
    }

    /// The oldest lines and the number of the first that is not among them.
    fn batch(&self) -> (LineBatch, u64) {
        let mut batch = LineBatch::default();
        let queue = self.queue();
        for line in queue.lines.iter().take(BATCH_LINES_MAX) {
            if !batch.add(line) {
                break;
            }
        }
        let end = queue.gone + batch.lines as u64;
        (batch, end)
    }

    /// Takes away what has arrived; some of it may have fallen out of a full queue meanwhile.
    fn forget_until(&self, end: u64) {
        let mut queue = self.queue();
        while queue.gone < end && queue.lines.pop_front().is_some() {
            queue.gone += 1;
        }
    }

    fn queue(&self) -> MutexGuard<'_, PendingLines> {
        self.waiting.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
