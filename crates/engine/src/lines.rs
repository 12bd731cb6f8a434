//! Lines on their way to those who follow: bounded for each reader, so that a slow one loses the oldest.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use domain::AppName;
use domain::logs::LogLine;
use futures_util::{Stream, stream};
use jiff::Timestamp;
use tokio::sync::Notify;

/// Lines that one reader may be behind.
const BEHIND_MAX: usize = 10_000;
/// Lines of the platform that a reader who comes late can still have.
const RECENT_MAX: usize = 1_000;

/// What the platform says, and who listens.
#[derive(Default)]
pub struct Lines {
    hub: Mutex<Hub>,
}

#[derive(Default)]
struct Hub {
    recent: VecDeque<LogLine>,
    readers: Vec<Weak<Queue>>,
}

/// The lines that one reader has not taken yet.
#[derive(Default)]
pub struct Queue {
    lines: Mutex<VecDeque<LogLine>>,
    pushed: Notify,
}

impl Lines {
    /// Adds a line of the platform for all readers, now and later.
    pub fn write(&self, line: LogLine) {
        let mut hub = self.hub();
        hub.readers.retain(|reader| reader.strong_count() > 0);
        hub.readers.iter().filter_map(Weak::upgrade).for_each(|reader| reader.push(line.clone()));
        // Requests are many: told again, they would push out what is told once.
        if line.source.is_router() {
            return;
        }
        if hub.recent.len() == RECENT_MAX {
            hub.recent.pop_front();
        }
        hub.recent.push_back(line);
    }

    /// A new reader, with the lines of each app in `since` that are younger than its time.
    pub fn read(&self, since: &BTreeMap<AppName, Timestamp>) -> Arc<Queue> {
        let queue = Arc::new(Queue::default());
        // Under one lock with the registration: no line is missed or seen twice.
        let mut hub = self.hub();
        let is_new = |line: &&LogLine| since.get(&line.app).is_some_and(|time| line.time > *time);
        hub.recent.iter().filter(is_new).for_each(|line| queue.push(line.clone()));
        hub.readers.push(Arc::downgrade(&queue));
        queue
    }

    /// The lines of the platform that are still known, oldest first.
    pub fn recent(&self) -> Vec<LogLine> {
        self.hub().recent.iter().cloned().collect()
    }

    fn hub(&self) -> MutexGuard<'_, Hub> {
        self.hub.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// Adds a line; the oldest goes when the reader is too far behind.
    pub fn push(&self, line: LogLine) {
        let mut lines = self.lines();
        if lines.len() == BEHIND_MAX {
            lines.pop_front();
        }
        lines.push_back(line);
        drop(lines);
        self.pushed.notify_one();
    }

    async fn next(&self) -> LogLine {
        loop {
            if let Some(line) = self.lines().pop_front() {
                return line;
            }
            self.pushed.notified().await;
        }
    }

    fn lines(&self) -> MutexGuard<'_, VecDeque<LogLine>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The queue as a stream; `kept` lives as long as the stream.
pub fn stream<T: Send + 'static>(queue: Arc<Queue>, kept: T) -> Pin<Box<dyn Stream<Item = LogLine> + Send>> {
    Box::pin(stream::unfold((queue, kept), |(queue, kept)| async move {
        let line = queue.next().await;
        Some((line, (queue, kept)))
    }))
}

#[cfg(test)]
mod tests {
    use domain::logs::LogSource;
    use futures_util::StreamExt as _;

    use super::*;

    fn line(number: usize) -> LogLine {
        LogLine {
            time: Timestamp::from_second(number as i64).expect("a near moment"),
            app: AppName::parse("blog").expect("a good name"),
            source: LogSource::Platform { component: "controller".to_owned(), level: "INFO".to_owned() },
            text: number.to_string(),
        }
    }

    #[tokio::test]
    async fn a_reader_that_is_too_slow_loses_the_oldest_lines() {
        let lines = Lines::default();
        let queue = lines.read(&BTreeMap::new());

        (0..BEHIND_MAX + 5).for_each(|number| lines.write(line(number)));

        let first = stream(queue, ()).next().await.expect("a line");
        assert_eq!(first.text, "5");
    }

    #[tokio::test]
    async fn a_late_reader_has_the_lines_younger_than_the_time_that_it_knows() {
        let lines = Lines::default();
        (0..5).for_each(|number| lines.write(line(number)));

        let queue = lines.read(&BTreeMap::from([(line(0).app, line(2).time)]));
        lines.write(line(5));

        let texts: Vec<_> = stream(queue, ()).take(3).map(|line| line.text).collect().await;
        assert_eq!(texts, ["3", "4", "5"]);
    }
}
