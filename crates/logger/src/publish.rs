//! Sends what a part of the platform has to say about apps to the logger of the cluster.
//!
//! The lines wait in a bounded queue, from which the oldest fall while the logger is away.

use std::sync::Arc;
use std::time::Duration;

use engine::log_queue::LogQueue;
use tokio::sync::watch;

use crate::batch::LineBatch;
use crate::client::LoggerClient;

/// Lines of one batch.
const BATCH_LINES_MAX: usize = 500;
/// Longest time for the last lines at shutdown.
const GOODBYE_MAX: Duration = Duration::from_secs(3);

/// Sends lines until `shutdown` turns true or closes, then those still waiting, within a time limit.
pub async fn publish(lines: Arc<LogQueue>, client: LoggerClient, mut shutdown: watch::Receiver<bool>) {
    let mut batch = LineBatch::default();
    tokio::select! {
        () = send_all(&lines, &mut batch, &client) => {}
        _ = shutdown.wait_for(|stop| *stop) => {}
    }
    let _ = tokio::time::timeout(GOODBYE_MAX, send_waiting(&lines, &mut batch, &client)).await;
    let left = batch.lines + lines.len();
    if left > 0 {
        tracing::warn!(left, "lines could not be sent to the logger before the end");
    }
}

async fn send_all(lines: &LogQueue, batch: &mut LineBatch, client: &LoggerClient) {
    loop {
        send_waiting(lines, batch, client).await;
        lines.ready().await;
    }
}

/// Sends until nothing waits, beginning with a batch that has not arrived yet.
async fn send_waiting(lines: &LogQueue, batch: &mut LineBatch, client: &LoggerClient) {
    loop {
        while batch.lines < BATCH_LINES_MAX && lines.pop_if(|line| batch.add(line)).is_some() {}
        if batch.is_empty() {
            return;
        }
        client.send(batch).await;
        batch.clear();
    }
}
