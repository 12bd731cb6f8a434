//! A queue of lines for one reader, bounded so that a slow one loses the oldest.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use domain::logs::LogLine;
use tokio::sync::Notify;

use crate::LogSink;

/// Lines that the reader may be behind, and the bytes of their texts.
const BEHIND_MAX: usize = 10_000;
const BEHIND_BYTES_MAX: usize = 64 << 20;

/// The lines that the reader has not taken yet.
#[derive(Default)]
pub struct LogQueue {
    waiting: Mutex<UnreadLines>,
    written: Notify,
}

#[derive(Default)]
struct UnreadLines {
    lines: VecDeque<LogLine>,
    /// Of the lines' texts.
    bytes: usize,
}

impl UnreadLines {
    fn pop_if(&mut self, is_taken: impl FnOnce(&LogLine) -> bool) -> Option<LogLine> {
        let line = self.lines.pop_front_if(|line| is_taken(line))?;
        self.bytes -= line.text.len();
        Some(line)
    }
}

impl LogSink for LogQueue {
    fn write(&self, line: LogLine) {
        let mut waiting = self.waiting();
        waiting.bytes += line.text.len();
        waiting.lines.push_back(line);
        while waiting.lines.len() > BEHIND_MAX || waiting.bytes > BEHIND_BYTES_MAX {
            waiting.pop_if(|_| true);
        }
        drop(waiting);
        self.written.notify_one();
    }
}

impl LogQueue {
    /// Takes the oldest line; waits for one.
    pub async fn next(&self) -> LogLine {
        loop {
            self.ready().await;
            if let Some(line) = self.pop() {
                return line;
            }
        }
    }

    /// Waits until there is a line.
    pub async fn ready(&self) {
        while self.is_empty() {
            self.written.notified().await;
        }
    }

    /// Takes the oldest line.
    pub fn pop(&self) -> Option<LogLine> {
        self.pop_if(|_| true)
    }

    /// Takes the oldest line, unless `is_taken` returns false for it.
    pub fn pop_if(&self, is_taken: impl FnOnce(&LogLine) -> bool) -> Option<LogLine> {
        self.waiting().pop_if(is_taken)
    }

    pub fn len(&self) -> usize {
        self.waiting().lines.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn waiting(&self) -> MutexGuard<'_, UnreadLines> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use domain::AppName;
    use domain::logs::LogOrigin;
    use jiff::Timestamp;

    use super::*;

    fn line(number: usize) -> LogLine {
        LogLine {
            time: Timestamp::from_second(number as i64).expect("a near moment"),
            app: AppName::parse("blog").expect("a good name"),
            origin: LogOrigin::Platform { component: "controller".to_owned(), level: "INFO".to_owned() },
            text: number.to_string(),
        }
    }

    #[tokio::test]
    async fn a_reader_that_is_too_slow_loses_the_oldest_lines() {
        let queue = LogQueue::default();

        (0..BEHIND_MAX + 5).for_each(|number| queue.write(line(number)));

        let first = queue.next().await;
        assert_eq!(first.text, "5");
    }

    #[tokio::test]
    async fn a_reader_that_is_too_slow_holds_bounded_bytes_of_long_lines() {
        let queue = LogQueue::default();
        let long = "x".repeat(BEHIND_BYTES_MAX / 4);

        (0..9).for_each(|number| queue.write(LogLine { text: format!("{number}{long}"), ..line(number) }));

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
}
