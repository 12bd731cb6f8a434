//! Lines for followers: bounded for each reader, so that a slow one loses the oldest.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use domain::AppName;
use domain::logs::LogLine;
use futures_util::{Stream, stream};
use jiff::Timestamp;
use tokio::sync::Notify;

/// Lines that one reader may be behind, and the bytes of their texts.
const BEHIND_MAX: usize = 10_000;
const BEHIND_BYTES_MAX: usize = 64 << 20;
/// Recent lines of the platform that a new reader still gets.
const RECENT_MAX: usize = 1_000;

/// Lines of the platform, and their receivers.
#[derive(Default)]
pub struct LineHub {
    hub: Mutex<HubState>,
}

#[derive(Default)]
struct HubState {
    recent: VecDeque<LogLine>,
    readers: Vec<Weak<LineQueue>>,
}

/// The lines that one reader has not taken yet.
#[derive(Default)]
pub struct LineQueue {
    waiting: Mutex<UnreadLines>,
    pushed: Notify,
}

#[derive(Default)]
struct UnreadLines {
    lines: VecDeque<LogLine>,
    /// Of the lines' texts.
    bytes: usize,
}

impl UnreadLines {
    fn pop(&mut self) -> Option<LogLine> {
        let line = self.lines.pop_front()?;
        self.bytes -= line.text.len();
        Some(line)
    }
}

impl LineHub {
    /// Adds a line of the platform for all readers, now and later.
    pub fn write(&self, line: LogLine) {
        let mut hub = self.hub();
        hub.readers.retain(|reader| reader.strong_count() > 0);
        hub.readers.iter().filter_map(Weak::upgrade).for_each(|reader| reader.push(line.clone()));
        // There are many request lines: kept, they would push out other lines.
        if line.source.is_router() {
            return;
        }
        if hub.recent.len() == RECENT_MAX {
            hub.recent.pop_front();
        }
        hub.recent.push_back(line);
    }

    /// A new reader, with the lines of each app in `since` that are younger than its time.
    pub fn read(&self, since: &BTreeMap<AppName, Timestamp>) -> Arc<LineQueue> {
        let queue = Arc::new(LineQueue::default());
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

    fn hub(&self) -> MutexGuard<'_, HubState> {
        self.hub.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LineQueue {
    /// Adds a line; the oldest goes when the reader is too far behind.
    pub fn push(&self, line: LogLine) {
        let mut waiting = self.waiting();
        waiting.bytes += line.text.len();
        waiting.lines.push_back(line);
        while waiting.lines.len() > BEHIND_MAX || waiting.bytes > BEHIND_BYTES_MAX {
            waiting.pop();
        }
        drop(waiting);
        self.pushed.notify_one();
    }

    async fn next(&self) -> LogLine {
        loop {
            if let Some(line) = self.waiting().pop() {
                return line;
            }
            self.pushed.notified().await;
        }
    }

    fn waiting(&self) -> MutexGuard<'_, UnreadLines> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The queue as a stream; `kept` lives as long as the stream.
pub fn stream<T: Send + 'static>(
    queue: Arc<LineQueue>,
    kept: T,
) -> Pin<Box<dyn Stream<Item = LogLine> + Send>> {
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
        let lines = LineHub::default();
        let queue = lines.read(&BTreeMap::new());

        (0..BEHIND_MAX + 5).for_each(|number| lines.write(line(number)));

        let first = stream(queue, ()).next().await.expect("a line");
        assert_eq!(first.text, "5");
    }

    #[tokio::test]
    async fn a_reader_that_is_too_slow_holds_bounded_bytes_of_long_lines() {
        let lines = LineHub::default();
        let queue = lines.read(&BTreeMap::new());
        let long = "x".repeat(BEHIND_BYTES_MAX / 4);

        (0..9).for_each(|number| lines.write(LogLine { text: format!("{number}{long}"), ..line(number) }));

        let waiting = queue.waiting();
        assert!(
            waiting.bytes <= BEHIND_BYTES_MAX
                && waiting.bytes == waiting.lines.iter().map(|line| line.text.len()).sum::<usize>()
        );
        assert!(
            waiting.lines.front().is_some_and(|line| line.text.starts_with('6')),
            "{}",
            waiting.lines.len()
        );
    }

    #[tokio::test]
    async fn a_late_reader_has_the_lines_younger_than_the_time_that_it_knows() {
        let lines = LineHub::default();
        (0..5).for_each(|number| lines.write(line(number)));

        let queue = lines.read(&BTreeMap::from([(line(0).app, line(2).time)]));
        lines.write(line(5));

        let texts: Vec<_> = stream(queue, ()).take(3).map(|line| line.text).collect().await;
        assert_eq!(texts, ["3", "4", "5"]);
    }
}
