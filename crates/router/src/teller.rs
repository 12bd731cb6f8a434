//! The thread that tells apps, in their logs, of their requests and of releases that have left the routes.
//!
//! Off the way of requests: workers hand it their lines twice a second, and it reads their counters. With several
//! routers each tells what it has seen itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant, SystemTime};

use domain::AppName;
use domain::logs::{LogLine, LogSource};
use jiff::Timestamp;

use crate::Tell;
use crate::app_log::{AppLines, Batch};
use crate::metrics::{Metrics, ReleaseSum};

/// How often the workers' lines are fetched, and their counters read.
pub(crate) const EVERY: Duration = Duration::from_millis(500);
/// Lines of all apps and workers together that are told in that time.
const LINES_MAX: usize = 4_000;
/// Batches that wait for the teller, per worker.
const BATCHES_MAX: usize = 4;
/// A release whose last requests take longer after a roll, such as WebSockets, is told without them.
const LAST_REQUESTS_MAX: Duration = Duration::from_secs(30);

/// What tells, and the end by which workers reach it.
pub(crate) struct Teller {
    tell: Tell,
    metrics: Arc<Metrics>,
    /// Of this router, where there are several.
    name: Option<String>,
    batches: Receiver<Batch>,
    rolls: Rolls,
}

/// What workers need to reach the teller.
#[derive(Clone)]
pub(crate) struct Ear {
    pub(crate) batches: SyncSender<Batch>,
    /// Lines that a worker may hand over at once.
    pub(crate) lines_max: usize,
}

impl Teller {
    pub(crate) fn new(
        tell: Tell,
        metrics: Arc<Metrics>,
        name: Option<String>,
        workers: usize,
    ) -> (Self, Ear) {
        let (sender, batches) = sync_channel(BATCHES_MAX * workers);
        let ear = Ear { batches: sender, lines_max: (LINES_MAX / workers).max(2) };
        (Self { tell, metrics, name, batches, rolls: Rolls::default() }, ear)
    }

    /// Runs until all workers have ended.
    pub(crate) fn spawn(mut self) -> std::io::Result<std::thread::JoinHandle<()>> {
        std::thread::Builder::new().name("router-teller".to_owned()).spawn(move || self.run())
    }

    fn run(&mut self) {
        let mut read_at = Instant::now();
        loop {
            let heard = self.batches.recv_timeout(EVERY.saturating_sub(read_at.elapsed()));
            let is_over = matches!(heard, Err(RecvTimeoutError::Disconnected));
            if let Ok(batch) = heard {
                batch.into_iter().for_each(|(app, lines)| self.tell_requests(&app, &lines));
            }
            if is_over || read_at.elapsed() >= EVERY {
                read_at = Instant::now();
                self.tell_rolls(read_at);
            }
            if is_over {
                return;
            }
        }
    }

    fn tell_requests(&self, app: &AppName, lines: &AppLines) {
        for (time, text) in lines.lines() {
            self.tell(app, "", time, text.to_owned());
        }
        if lines.dropped > 0 {
            let text =
                format!("at=warning desc=\"more requests than can be told\" dropped={}", lines.dropped);
            self.tell(app, "", SystemTime::now(), text);
        }
    }

    fn tell_rolls(&mut self, now: Instant) {
        let tables = self.metrics.tables_taken();
        if !self.rolls.may_have_ended(tables) {
            return;
        }
        for ((app, release), sum) in self.rolls.ended(now, &self.metrics.releases()) {
            let level = if sum.lost > 0 { "WARN" } else { "INFO" };
            self.tell(&app, level, SystemTime::now(), roll_text(release, &sum, self.name.as_deref()));
        }
    }

    fn tell(&self, app: &AppName, level: &str, time: SystemTime, text: String) {
        let time = Timestamp::try_from(time).unwrap_or_else(|_| Timestamp::now());
        (self.tell)(LogLine { time, app: app.clone(), source: LogSource::router(level), text });
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

/// Which releases have left, and of which that was told.
#[derive(Default)]
struct Rolls {
    tables_seen: u64,
    left: BTreeMap<(AppName, u64), Instant>,
    told: BTreeSet<(AppName, u64)>,
}

impl Rolls {
    /// Nothing leaves without a new table.
    fn may_have_ended(&mut self, tables: u64) -> bool {
        let is_new = tables != self.tables_seen;
        self.tables_seen = tables;
        is_new || !self.left.is_empty()
    }

    /// The releases to tell of now, each once.
    fn ended(
        &mut self,
        now: Instant,
        sums: &BTreeMap<(AppName, u64), ReleaseSum>,
    ) -> Vec<((AppName, u64), ReleaseSum)> {
        self.left.retain(|release, _| sums.contains_key(release));
        self.told.retain(|release| sums.contains_key(release));
        let mut ended = Vec::new();
        for (release, sum) in sums {
            if sum.is_routed {
                // It is back, as after a crash of its successor.
                self.left.remove(release);
                self.told.remove(release);
                continue;
            }
            if self.told.contains(release) {
                continue;
            }
            let since = *self.left.entry(release.clone()).or_insert(now);
            if sum.under_way == 0 || now.duration_since(since) >= LAST_REQUESTS_MAX {
                self.left.remove(release);
                self.told.insert(release.clone());
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
    fn a_release_is_told_once_when_its_last_request_has_ended_and_again_when_it_was_back() {
        let mut rolls = Rolls::default();
        let now = Instant::now();

        let told = [ROUTED, LEFT, IDLE, IDLE, ROUTED, IDLE].map(|sum| rolls.ended(now, &sums(sum)).len());

        assert_eq!(told, [0, 0, 1, 0, 0, 1]);
    }

    #[test]
    fn requests_that_go_on_for_long_do_not_hold_up_the_telling() {
        let mut rolls = Rolls::default();
        let now = Instant::now();
        assert!(rolls.may_have_ended(1) && rolls.ended(now, &sums(LEFT)).is_empty());

        assert!(rolls.may_have_ended(1), "somebody waits");
        let told = rolls.ended(now + LAST_REQUESTS_MAX, &sums(LEFT));

        assert_eq!(told.len(), 1);
        assert!(!rolls.may_have_ended(1));
        let text = roll_text(4, &told[0].1, Some("deis-router-x"));
        assert_eq!(
            text,
            "v4 left the routes: 7 requests served, 1 lost, 2 in flight at the roll, 2 still (seen by deis-router-x)"
        );
    }
}
