//! The thread that publishes request lines, and reports of releases that left the routes, to the logs of apps.
//!
//! It delays no request: workers hand it their lines twice a second, and it reads their counters. With several
//! routers each reports its own requests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant, SystemTime};

use domain::AppName;
use domain::logs::{LogLine, LogOrigin};
use engine::LogSink;
use jiff::Timestamp;

use crate::access_log::app_log::{AppLogBuffer, LogBatch};
use crate::metrics::{Metrics, ReleaseSum};

/// Interval at which the workers' lines are collected and their counters read.
pub(crate) const EVERY: Duration = Duration::from_millis(500);
/// Lines of all apps and workers together that are published in that time.
const LINES_MAX: usize = 4_000;
/// Batches that wait for the publisher, per worker.
const BATCHES_MAX: usize = 4;
/// A release whose last requests take longer after a roll, such as WebSockets, is reported without them.
const LAST_REQUESTS_MAX: Duration = Duration::from_secs(30);

/// Publishes log lines and roll reports to the sink.
pub(crate) struct LogPublisher {
    sink: Arc<dyn LogSink>,
    metrics: Arc<Metrics>,
    /// Of this router, where there are several.
    name: Option<String>,
    batches: Receiver<LogBatch>,
    rolls: Rolls,
}

/// The workers' end of the channel to the publisher.
#[derive(Clone)]
pub(crate) struct LogSender {
    pub(crate) batches: SyncSender<LogBatch>,
    /// Lines that a worker may hand over at once.
    pub(crate) lines_max: usize,
}

impl LogPublisher {
    pub(crate) fn new(
        sink: Arc<dyn LogSink>,
        metrics: Arc<Metrics>,
        name: Option<String>,
        workers: usize,
    ) -> (Self, LogSender) {
        let (sender, batches) = sync_channel(BATCHES_MAX * workers);
        let sender = LogSender { batches: sender, lines_max: (LINES_MAX / workers).max(2) };
        (Self { sink, metrics, name, batches, rolls: Rolls::default() }, sender)
    }

    /// Runs until all workers have ended.
    pub(crate) fn spawn(mut self) -> std::io::Result<std::thread::JoinHandle<()>> {
        std::thread::Builder::new().name("router-log".to_owned()).spawn(move || self.run())
    }

    fn run(&mut self) {
        let mut read_at = Instant::now();
        loop {
            let received = self.batches.recv_timeout(EVERY.saturating_sub(read_at.elapsed()));
            let is_over = matches!(received, Err(RecvTimeoutError::Disconnected));
            if let Ok(batch) = received {
                batch.into_iter().for_each(|(app, lines)| self.publish_requests(&app, &lines));
            }
            if is_over || read_at.elapsed() >= EVERY {
                read_at = Instant::now();
                self.publish_rolls(read_at);
            }
            if is_over {
                return;
            }
        }
    }

    fn publish_requests(&self, app: &AppName, lines: &AppLogBuffer) {
        for (time, text) in lines.lines() {
            self.publish(app, "", time, text.to_owned());
        }
        if lines.dropped > 0 {
            let text =
                format!("at=warning desc=\"more requests than can be told\" dropped={}", lines.dropped);
            self.publish(app, "", SystemTime::now(), text);
        }
    }

    fn publish_rolls(&mut self, now: Instant) {
        let tables = self.metrics.tables_taken();
        if !self.rolls.may_have_ended(tables) {
            return;
        }
        for ((app, release), sum) in self.rolls.ended(now, &self.metrics.releases()) {
            let level = if sum.lost > 0 { "WARN" } else { "INFO" };
            self.publish(&app, level, SystemTime::now(), roll_text(release, &sum, self.name.as_deref()));
        }
    }

    fn publish(&self, app: &AppName, level: &str, time: SystemTime, text: String) {
        let time = Timestamp::try_from(time).unwrap_or_else(|_| Timestamp::now());
        self.sink.write(LogLine { time, app: app.clone(), origin: LogOrigin::router(level), text });
    }
}

fn roll_text(release: u64, sum: &ReleaseSum, router: Option<&str>) -> String {
    let ReleaseSum { served, lost, under_way, under_way_at_roll, is_routed: _ } = sum;
    let mut text = format!(
        "v{release} left the routes: {served} requests served, {lost} lost, {under_way_at_roll} in flight at the roll"
    );
    if *under_way > 0 {
        text += &format!(", {under_way} still");
    }
    if let Some(router) = router {
        text += &format!(" (seen by {router})");
    }
    text
}

/// Releases that have left the routes, and those already reported.
#[derive(Default)]
struct Rolls {
    tables_seen: u64,
    left: BTreeMap<(AppName, u64), Instant>,
    published: BTreeSet<(AppName, u64)>,
}

impl Rolls {
    /// Nothing leaves without a new table.
    fn may_have_ended(&mut self, tables: u64) -> bool {
        let is_new = tables != self.tables_seen;
        self.tables_seen = tables;
        is_new || !self.left.is_empty()
    }

    /// Releases to report now, each once.
    fn ended(
        &mut self,
        now: Instant,
        sums: &BTreeMap<(AppName, u64), ReleaseSum>,
    ) -> Vec<((AppName, u64), ReleaseSum)> {
        self.left.retain(|release, _| sums.contains_key(release));
        self.published.retain(|release| sums.contains_key(release));
        let mut ended = Vec::new();
        for (release, sum) in sums {
            if sum.is_routed {
                // It is back, as after a crash of its successor.
                self.left.remove(release);
                self.published.remove(release);
                continue;
            }
            if self.published.contains(release) {
                continue;
            }
            let since = *self.left.entry(release.clone()).or_insert(now);
            if sum.under_way == 0 || now.duration_since(since) >= LAST_REQUESTS_MAX {
                self.left.remove(release);
                self.published.insert(release.clone());
                ended.push((release.clone(), *sum));
            }
        }
        ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(sum: ReleaseSum) -> BTreeMap<(AppName, u64), ReleaseSum> {
        BTreeMap::from([((AppName::parse("blog").expect("a good name"), 4), sum)])
    }

    const ROUTED: ReleaseSum =
        ReleaseSum { served: 7, lost: 1, under_way: 2, under_way_at_roll: 0, is_routed: true };
    const LEFT: ReleaseSum = ReleaseSum { under_way_at_roll: 2, is_routed: false, ..ROUTED };
    const IDLE: ReleaseSum = ReleaseSum { under_way: 0, ..LEFT };

    #[test]
    fn a_release_is_reported_once_when_its_last_request_has_ended_and_again_when_it_was_back() {
        let mut rolls = Rolls::default();
        let now = Instant::now();

        let reported = [ROUTED, LEFT, IDLE, IDLE, ROUTED, IDLE].map(|sum| rolls.ended(now, &sums(sum)).len());

        assert_eq!(reported, [0, 0, 1, 0, 0, 1]);
    }

    #[test]
    fn requests_that_go_on_for_long_do_not_hold_up_the_report() {
        let mut rolls = Rolls::default();
        let now = Instant::now();
        assert!(rolls.may_have_ended(1) && rolls.ended(now, &sums(LEFT)).is_empty());

        assert!(rolls.may_have_ended(1), "somebody waits");
        let reported = rolls.ended(now + LAST_REQUESTS_MAX, &sums(LEFT));

        assert_eq!(reported.len(), 1);
        assert!(!rolls.may_have_ended(1));
        let text = roll_text(4, &reported[0].1, Some("deis-router-x"));
        assert_eq!(
            text,
            "v4 left the routes: 7 requests served, 1 lost, 2 in flight at the roll, 2 still (seen by deis-router-x)"
        );
    }
}
