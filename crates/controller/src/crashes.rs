//! Crash lines in apps' logs, written by the controller that leads.

use std::convert::Infallible;
use std::time::Duration;

use domain::crashes::CrashLog;
use futures_util::StreamExt as _;
use jiff::Timestamp;
use tokio::time::sleep;

use crate::Controller;

/// Longest wait for the next crash; nothing is due then.
const WAIT_MAX: Duration = Duration::from_secs(600);

/// Logs crashes for as long as this controller leads.
pub async fn run(controller: Controller) -> Infallible {
    let mut crashes = controller.engine.crashes();
    let mut log = CrashLog::default();
    loop {
        tokio::select! {
            Some(crash) = crashes.next() => log.note(crash),
            () = sleep(wait(&log)) => {}
        }
        for (app, line) in log.due(Timestamp::now()) {
            controller.warn(&app, line);
        }
    }
}

/// Until the next line is due.
fn wait(log: &CrashLog) -> Duration {
    let left = log.next_due().map(|due| due.duration_since(Timestamp::now()));
    left.map_or(WAIT_MAX, |left| Duration::try_from(left).unwrap_or_default().min(WAIT_MAX))
}
