//! A sink that records its lines.

use std::sync::{Mutex, MutexGuard, PoisonError};

use domain::AppName;
use domain::logs::LogLine;

use crate::LogSink;

/// All lines that were written.
#[derive(Default)]
pub struct LogRecorder {
    lines: Mutex<Vec<LogLine>>,
}

impl LogSink for LogRecorder {
    fn write(&self, line: LogLine) {
        self.recorded().push(line);
    }
}

impl LogRecorder {
    /// The lines so far, oldest first.
    pub fn lines(&self) -> Vec<LogLine> {
        self.recorded().clone()
    }

    /// The texts of those about an app.
    pub fn texts(&self, app: &AppName) -> Vec<String> {
        let lines = self.lines().into_iter().filter(|line| line.app == *app);
        lines.map(|line| line.text).collect()
    }

    fn recorded(&self) -> MutexGuard<'_, Vec<LogLine>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
